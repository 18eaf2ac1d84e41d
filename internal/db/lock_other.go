//go:build !unix || solaris || aix

package db

import "errors"

// lockFile refuses: a server without the lock could corrupt what another wrote.
func lockFile(string) (release func(), err error) {
	return nil, errors.New("SQLite cannot be locked on this system, use PostgreSQL")
}
