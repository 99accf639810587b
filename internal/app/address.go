package app

import (
	"errors"
	"fmt"
	"syscall"
)

// cannotListen adds to the error of an address that cannot be listened on what
// to do about it. Others it leaves as they are.
func cannotListen(err error, flag, setting string) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w; another program has that port: stop it, or give another address with %s or %s in the configuration (port 0 takes a free one)", err, flag, setting)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%w; no interface of this machine has that address: give another with %s or %s in the configuration", err, flag, setting)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w; ports below 1024 need root or CAP_NET_BIND_SERVICE: give a higher one with %s or %s in the configuration", err, flag, setting)
	}
	return err
}
