package main_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push/simulate"
)

const adminKey = "an-admin-key-for-the-tests"

// binaryDir is where the program under test was built; TestMain removes it.
var binaryDir string

// binary builds the program under test, once.
var binary = sync.OnceValues(func() (string, error) {
	if err := lookAtSources(); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "belfry-under-test-")
	if err != nil {
		return "", err
	}
	binaryDir = dir
	path := filepath.Join(dir, "belfry")
	args := []string{"build", "-o", path}
	if raceEnabled {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, ".")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
})

// lookAtSources looks at every file the program is made of. go test takes a
// former result for current as long as the files that the test looked at are
// the same, and knows nothing of the program's.
func lookAtSources() error {
	return filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		switch name := entry.Name(); {
		case err != nil:
			return err
		case entry.IsDir() && path != "../.." && (name[0] == '.' || name == "bin" || name == "var" || name == "coverage"):
			return fs.SkipDir
		}
		_, err = os.Stat(path)
		return err
	})
}

// daemon is a real Belfry in a process of its own.
type daemon struct {
	t       *testing.T
	flags   []string
	within  []string // the command to run instead of the program alone, which it ends with
	url     string
	command *exec.Cmd
	output  *syncBuffer // log and greeting, of all its lives
	exited  chan error
}

// startDaemon starts Belfry on a free port, with an empty SQLite store unless
// the flags say otherwise. It ends with the test.
func startDaemon(t *testing.T, flags ...string) *daemon {
	t.Helper()
	d := &daemon{t: t, output: &syncBuffer{}, flags: append([]string{
		"--listen", "127.0.0.1:0", "--data-dir", t.TempDir(), "--admin-key", adminKey,
		"--vapid-subject", "mailto:operator@belfry.dev", "--log-level", "debug",
	}, flags...)}
	t.Cleanup(func() {
		d.kill()
		if t.Failed() {
			t.Logf("output of belfry serve:\n%s", d.output.String())
		}
	})
	d.start()
	return d
}

// allowing lets the daemon talk to a push service on loopback.
func allowing(service *simulate.WebPush) []string {
	return []string{"--allow-push-hosts", strings.TrimPrefix(service.Origin(), "http://")}
}

// start starts it again, on the same port, with more flags; those given last count.
func (d *daemon) start(more ...string) {
	d.t.Helper()
	require.NoError(d.t, d.launch(more...))
	eventually(d.t, "Belfry is ready", func() bool { return d.status("/readyz") == http.StatusOK })
}

// launch starts the process and returns once it says where it listens: then it
// is alive, though not always ready.
func (d *daemon) launch(more ...string) error {
	d.t.Helper()
	path, err := binary()
	require.NoError(d.t, err)
	within := d.within
	if within == nil {
		within = []string{path}
	}
	d.command = exec.Command(within[0], slices.Concat(within[1:], []string{"serve"}, d.flags, more)...)
	d.command.Stderr = d.output
	stdout, err := d.command.StdoutPipe()
	require.NoError(d.t, err)
	require.NoError(d.t, d.command.Start())
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		fmt.Fprintln(d.output, lines.Text())
		if _, url, ok := strings.Cut(lines.Text(), "is listening on "); ok {
			d.url = url
			_, address, _ := strings.Cut(url, "://")
			d.flags = append(d.flags, "--listen", address)
			break
		}
	}
	d.exited = make(chan error, 1)
	go func() {
		for lines.Scan() {
			fmt.Fprintln(d.output, lines.Text())
		}
		d.exited <- d.command.Wait()
	}()
	if d.url == "" {
		return <-d.exited
	}
	return nil
}

// stop asks it to end, as an operator does, and returns how it ended.
func (d *daemon) stop() error {
	d.t.Helper()
	require.NoError(d.t, d.command.Process.Signal(syscall.SIGTERM))
	return d.wait()
}

// kill ends it as a power cut does. Killing what has ended does nothing.
func (d *daemon) kill() {
	if d.command == nil || d.exited == nil {
		return
	}
	d.command.Process.Kill()
	d.wait()
}

func (d *daemon) wait() error {
	select {
	case err := <-d.exited:
		d.exited <- err
		return err
	case <-time.After(time.Minute):
		d.t.Error("belfry serve does not end")
		return nil
	}
}

// starved is whoever has to wait until connections that hold back a body are given up.
const starved = 30 * time.Second

// status asks for something; 0 when there is no answer.
func (d *daemon) status(path string) int {
	client := http.Client{Timeout: starved, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(d.url + path)
	if err != nil {
		return 0
	}
	response.Body.Close()
	return response.StatusCode
}

// call makes an API call that must succeed.
func (d *daemon) call(method, path string, body, into any) {
	d.t.Helper()
	status, answer := d.try(method, path, body)
	require.Less(d.t, status, 300, "%s %s: %s", method, path, answer)
	if into != nil {
		require.NoError(d.t, json.Unmarshal(answer, into))
	}
}

// try makes an API call; 0 when there is no answer.
func (d *daemon) try(method, path string, body any) (status int, answer []byte) {
	return d.tryAs(adminKey, method, path, body)
}

// tryAs makes an API call with a key of the caller's.
func (d *daemon) tryAs(key, method, path string, body any) (status int, answer []byte) {
	var text bytes.Buffer
	if body != nil {
		require.NoError(d.t, json.NewEncoder(&text).Encode(body))
	}
	request, err := http.NewRequestWithContext(d.t.Context(), method, d.url+path, &text)
	require.NoError(d.t, err)
	request.Header.Set("Authorization", "Bearer "+key)
	request.Header.Set("Content-Type", "application/json")
	// Longer than an accept waits for a store that does not answer.
	client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return 0, nil
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	require.NoError(d.t, err)
	return response.StatusCode, answer
}

// run runs another of the program's commands against the daemon.
func (d *daemon) run(args ...string) (stdout string, err error) {
	d.t.Helper()
	path, err := binary()
	require.NoError(d.t, err)
	command := exec.Command(path, args...)
	command.Env = append(os.Environ(), "BELFRY_SERVER="+d.url, "BELFRY_KEY="+adminKey)
	var out, problem bytes.Buffer
	command.Stdout, command.Stderr = &out, &problem
	if err := command.Run(); err != nil {
		return out.String(), fmt.Errorf("%w: %s", err, problem.String())
	}
	return out.String(), nil
}

// syncBuffer is a buffer that may be read while it is written.
type syncBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

// Write adds to it.
func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

// String is all that was written.
func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
