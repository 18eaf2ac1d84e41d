package signing

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// devMasterFile is made under the data directory by `serve --dev`.
const devMasterFile = "master.key"

// DevMaster reads the master secret of a development server from dir, or makes
// it at first use; the directory is created too. Of several that start at
// once, all get the same secret. A file that others may read is refused.
func DevMaster(dir string) ([]byte, error) {
	path := filepath.Join(dir, devMasterFile)
	secret, err := readDevMaster(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return secret, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the data directory: %w", err)
	}
	if err := createDevMaster(dir, path); err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	return readDevMaster(path)
}

func readDevMaster(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	// Windows has no such mode bits; the file inherits the directory's rights.
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("%s can be read by others (mode %04o): run chmod 600 %s", path, mode, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the master secret: %w", err)
	}
	secret, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(secret) < masterSize {
		return nil, fmt.Errorf("%s is not a master secret of %d bytes in base64: restore it from a backup, or remove it together with the database",
			path, masterSize)
	}
	return secret, nil
}

// createDevMaster writes a file of another name first and then links it, which
// fails if path exists: nobody ever reads half a secret.
func createDevMaster(dir, path string) (err error) {
	f, err := os.CreateTemp(dir, devMasterFile+".*") // O_EXCL, mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(GenerateMaster()) + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(dir)
}

// syncDir makes a new name in dir survive a power loss.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // cannot sync directories, and need not
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
