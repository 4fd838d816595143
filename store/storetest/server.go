package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// server is a running postgres process.
type server struct {
	process *os.Process
	done    chan struct{} // closed when it ended
}

// startTimeout bounds how long a server may take to recover and be ready.
const startTimeout = 30 * time.Second

// startServer starts the program and waits until it says that it is ready. It
// asks the kernel to stop the server when this process dies, however it dies.
// The kernel takes the death of the thread that started it for that, so one
// goroutine keeps its thread for as long as the server runs.
func startServer(as *syscall.Credential, program string, args ...string) (*server, error) {
	command := exec.Command(program, args...)
	command.Dir = "/"
	command.SysProcAttr = &syscall.SysProcAttr{Credential: as, Setpgid: true}
	dieWithParent(command.SysProcAttr)
	log := &serverLog{ready: make(chan struct{})}
	command.Stderr = log

	started := make(chan error)
	s := &server{done: make(chan struct{})}
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(s.done)
		err := command.Start()
		s.process = command.Process
		started <- err
		if err == nil {
			_ = command.Wait() // an immediate stop is an exit status, too
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	select {
	case <-log.ready:
		return s, nil
	case <-s.done:
		return nil, fmt.Errorf("postgres ended before it was ready:\n%s", log)
	case <-time.After(startTimeout):
		return nil, errors.Join(fmt.Errorf("postgres was not ready in %s:\n%s", startTimeout, log), s.stop())
	}
}

func (s *server) stop() error {
	if err := s.process.Signal(syscall.SIGQUIT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop postgres: %w", err)
	}
	<-s.done
	return nil
}

// serverLog keeps what the server says and hears when it is ready.
type serverLog struct {
	mu    sync.Mutex
	text  strings.Builder
	ready chan struct{}
	once  sync.Once
}

func (l *serverLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(b)
	if strings.Contains(l.text.String(), "database system is ready to accept connections") {
		l.once.Do(func() { close(l.ready) })
		l.text.Reset()
	}
	return len(b), nil
}

func (l *serverLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

var errNoServer = errors.New("no PostgreSQL server programs found: install them (apt-get install postgresql) or set BELFRY_TEST_DATABASE_URL")

// findServer gives the directory of initdb and postgres: the one in PATH, or
// the newest where Debian or Homebrew keep them.
func findServer() (string, error) {
	if initdb, err := exec.LookPath("initdb"); err == nil {
		if initdb, err = filepath.EvalSymlinks(initdb); err == nil {
			if dir := filepath.Dir(initdb); isExecutable(filepath.Join(dir, "postgres")) {
				return dir, nil
			}
		}
	}
	var newest string
	var newestVersion int
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin/initdb", "/opt/homebrew/opt/postgresql@*/bin/initdb", "/usr/local/opt/postgresql@*/bin/initdb",
	} {
		found, _ := filepath.Glob(pattern)
		for _, initdb := range found {
			dir := filepath.Dir(initdb)
			_, name, _ := strings.Cut(filepath.Base(filepath.Dir(dir)), "@")
			version, _ := strconv.Atoi(cmp.Or(name, filepath.Base(filepath.Dir(dir))))
			if version >= newestVersion {
				newest, newestVersion = dir, version
			}
		}
	}
	if newest == "" {
		return "", errNoServer
	}
	return newest, nil
}

func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&0o111 != 0
}

// unprivileged gives the user to run the server as, which refuses to be root;
// nil when we are not root ourselves.
func unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		who, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, fmt.Errorf("find a user to run postgres as: %w", err)
	}
	uid, err := strconv.ParseUint(who.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(who.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
