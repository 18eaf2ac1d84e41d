//go:build unix && !solaris && !aix

package db

import (
	"errors"
	"syscall"
)

// lockFile takes an exclusive flock, which the kernel drops with the process;
// errLocked if somebody holds it.
func lockFile(path string) (release func(), err error) {
	f, err := openLock(path)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errLocked
		}
		return nil, err
	}
	return func() { f.Close() }, nil
}
