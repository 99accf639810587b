package app

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/obs"
)

// OpenLog reaches the log for a command that appends to it: the cluster, the
// log of the instance that runs on the data folder, or, when none runs, the
// embedded log itself. stop releases it.
func OpenLog(ctx context.Context, c Config, data string) (log *bus.Bus, stop func(), err error) {
	cfg, err := c.Bus.options()
	if err != nil {
		return nil, nil, err
	}
	running, ok, err := readProperties(filepath.Join(data, clientProperties))
	if err != nil {
		return nil, nil, err
	}
	switch {
	case len(cfg.Brokers) > 0:
	case ok && answers(ctx, running.Brokers[0]):
		cfg = running
		if cfg.TLS != nil {
			if err := trust(cfg.TLS, c.Bus.TLS); err != nil {
				return nil, nil, err
			}
		}
	default:
		cfg.Dir, cfg.MinFree = LogDir(data), int64(c.Disk.Free)
	}
	log, err = bus.Open(ctx, cfg, obs.Scope{})
	if err != nil {
		return nil, nil, fmt.Errorf("opening the log: %w", err)
	}
	return log, log.Close, nil
}

// readProperties reads the file that an embedded log writes for its clients.
func readProperties(path string) (c bus.Config, ok bool, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, false, nil
	}
	if err != nil {
		return c, false, fmt.Errorf("reading how to reach the log: %w", err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		k, v, _ := strings.Cut(strings.TrimSpace(s.Text()), "=")
		switch k {
		case "bootstrap.servers":
			c.Brokers = strings.Split(v, ",")
		case "security.protocol":
			if strings.HasSuffix(v, "_SSL") || v == "SSL" {
				c.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
			}
		case "sasl.mechanism", "sasl.mechanisms":
			c.SASL.Mechanism = v
		case "sasl.username":
			c.SASL.User = v
		case "sasl.password":
			c.SASL.Password = v
		}
	}
	return c, len(c.Brokers) > 0, nil
}

// trust makes an embedded log's own certificate the one that is believed.
func trust(t *tls.Config, c TLSConfig) error {
	file := c.CA
	if file == "" {
		file = c.Cert
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading the log's certificate: %w", err)
	}
	t.RootCAs = x509.NewCertPool()
	t.RootCAs.AppendCertsFromPEM(pem)
	return nil
}

func answers(ctx context.Context, addr string) bool {
	d := net.Dialer{Timeout: time.Second}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
