package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/belfryhq/belfry/store"
)

// Acquire makes this process the active one, or fails at once with ErrInUse. A
// second call has no effect.
//
// Ownership is an flock on <file>.lock. The kernel gives it up when the process
// ends, however it ends, so a stale lock cannot be. What the file holds, the id
// of the process, is for people.
func (s *Store) Acquire(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock != nil {
		return nil
	}
	lock, err := lockFile(s.path)
	if err != nil {
		return fmt.Errorf("acquire sqlite: %w", err)
	}
	s.lock = lock
	return nil
}

func lockFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("%s is %w%s: stop that one first, or give this one a file of its own",
			path, store.ErrInUse, holder(file))
	}
	if err == nil {
		err = writeHolder(file)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func writeHolder(file *os.File) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err := file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// holder reads who has the lock, as " (pid 123)", or nothing.
func holder(file *os.File) string {
	content, _ := io.ReadAll(io.LimitReader(file, 20))
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (pid %d)", pid)
}

// Lost is never closed: the lock is the kernel's, and lasts as long as we do.
func (s *Store) Lost() <-chan struct{} { return s.lost }

// release gives ownership up: another process may have it as soon as this
// returns. The file stays, since removing it would let two processes lock two
// files of the same name.
func (s *Store) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock != nil {
		_ = s.lock.Close()
		s.lock = nil
	}
}
