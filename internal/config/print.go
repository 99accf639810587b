package config

import (
	"fmt"

	"go.yaml.in/yaml/v4"
)

// Print returns v as YAML that [Decode] reads again; secrets are redacted.
func Print(v any) ([]byte, error) {
	text, err := yaml.Dump(v, yaml.WithV4Defaults())
	if err != nil {
		return nil, fmt.Errorf("printing configuration: %w", err)
	}
	return text, nil
}
