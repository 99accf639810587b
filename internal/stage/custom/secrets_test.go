package custom

import "github.com/decodersring/decoder/internal/config"

func secrets(name, value string) map[string]config.Secret {
	return map[string]config.Secret{name: config.NewSecret(value)}
}
