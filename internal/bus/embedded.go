package bus

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/decodersring/decoder/internal/obs"
)

// embedded is the log in this process.
type embedded struct{ cluster *kfake.Cluster }

func startEmbedded(config Config, _ obs.Scope) (*embedded, error) {
	port := 0
	host := "127.0.0.1"
	if config.Listen != "" {
		h, p, err := net.SplitHostPort(config.Listen)
		if err != nil {
			return nil, fmt.Errorf("reading the listen address: %w", err)
		}
		if port, err = strconv.Atoi(p); err != nil {
			return nil, fmt.Errorf("reading the listen address: %w", err)
		}
		host = h
	}
	options := []kfake.Opt{
		kfake.DataDir(filepath.Join(config.Dir)),
		kfake.Ports(port),
		kfake.ListenFn(func(network, address string) (net.Listener, error) {
			_, p, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			return net.Listen(network, net.JoinHostPort(host, p))
		}),
		kfake.BrokerConfigs(map[string]string{"message.max.bytes": strconv.Itoa(maxWrapped)}),
		kfake.ClusterID("decoder"),
	}
	if !config.Relaxed {
		options = append(options, kfake.SyncWrites())
	}
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		return nil, err
	}
	return &embedded{cluster: cluster}, nil
}

func (e *embedded) addresses() []string { return e.cluster.ListenAddrs() }

func (e *embedded) close() { e.cluster.Close() }
