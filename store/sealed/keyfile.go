package sealed

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// keyFileMax is more than a file with a key has, in bytes.
const keyFileMax = 1024

// OpenKeyFile reads the key of a file, or makes a file with a new one if there
// is none: then created is true. See ReadKeyFile.
//
// A new file holds the key in hexadecimal, for the eyes of this user alone, and
// is durable when this returns, since what is encrypted with it will be. Its
// directory is made if need be.
func OpenKeyFile(path string) (key Key, created bool, err error) {
	key, err = ReadKeyFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, false, err
	}
	key = newKey()
	err = createKeyFile(path, key)
	if errors.Is(err, fs.ErrExist) { // another process was faster
		key, err = ReadKeyFile(path)
		return key, false, err
	}
	if err != nil {
		return Key{}, false, fmt.Errorf("make the master key: %w", err)
	}
	return key, true, nil
}

// ReadKeyFile reads the key of a file, in a form that ParseKey takes. It refuses
// a file that others than its owner can open. The error is fs.ErrNotExist if
// there is no file.
func ReadKeyFile(path string) (Key, error) {
	key, err := readKeyFile(path)
	if err != nil {
		return Key{}, fmt.Errorf("read the master key: %w", err)
	}
	return key, nil
}

func readKeyFile(path string) (Key, error) {
	file, err := os.Open(path)
	if err != nil {
		return Key{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return Key{}, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return Key{}, fmt.Errorf("%s is open to other users (mode %04o): shut them out with chmod 600 %[1]s", path, mode)
	}
	content, err := io.ReadAll(io.LimitReader(file, keyFileMax))
	if err != nil {
		return Key{}, err
	}
	key, err := ParseKey(strings.TrimSpace(string(content)))
	if err != nil {
		return Key{}, fmt.Errorf("%s: %w; bring it back from a copy, or if no database was used with it, remove the file", path, err)
	}
	return key, nil
}

func createKeyFile(path string, key Key) error {
	directory := filepath.Dir(path)
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(hex.EncodeToString(key[:]) + "\n")
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = syncDirectory(directory)
	}
	if err != nil { // nothing is encrypted with it yet
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// syncDirectory makes the name of a new file durable, as its content is.
func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}
