package main_test

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// simulation is a belfry simulate in a process of its own.
type simulation struct {
	t        *testing.T
	command  *exec.Cmd
	url      string
	commands []string // that its guide has, in order
	lines    *syncBuffer
	exited   chan error
}

// startSimulation starts one on a free port, and reads its guide. It ends with
// the test.
func startSimulation(t *testing.T, kind, dir string, flags ...string) *simulation {
	t.Helper()
	path, err := binary()
	require.NoError(t, err)
	s := &simulation{t: t, lines: &syncBuffer{}, exited: make(chan error, 1)}
	s.command = exec.Command(path, append([]string{"simulate", kind, "--listen", "127.0.0.1:0", "--dir", dir}, flags...)...)
	s.command.Stdout = s.lines
	guide, err := s.command.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, s.command.Start())
	t.Cleanup(func() { s.stop() })

	lines := bufio.NewScanner(guide)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "Each message is a line") {
		if _, url, ok := strings.Cut(lines.Text(), "is listening on "); ok {
			s.url = url
		}
		if command, ok := strings.CutPrefix(lines.Text(), "    "); ok {
			s.commands = append(s.commands, command)
		}
	}
	go func() {
		for lines.Scan() { // so that it can go on writing
		}
		s.exited <- s.command.Wait()
	}()
	require.NotEmpty(t, s.url, "it says where it is")
	return s
}

// stop ends it as Ctrl-C does. Stopping it twice does nothing.
func (s *simulation) stop() error {
	s.command.Process.Signal(syscall.SIGINT) //nolint:errcheck // it may have ended
	select {
	case err := <-s.exited:
		s.exited <- err
		return err
	case <-time.After(time.Minute):
		s.command.Process.Kill() //nolint:errcheck // likewise
		s.t.Error("belfry simulate does not end")
		return nil
	}
}

// Whoever reads the guide copies its commands: they are run as they are, but
// for where this test's Belfry is.
func TestSimulate_ItsGuideWorksAsPrinted(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("the guide uses curl, which is not here")
	}
	for kind, line := range map[string]string{
		"webpush": "msg=taken status=201 reason=\"\" topic=",
		"apns":    "msg=taken status=200 reason=\"\" topic=com.example.app title=Hello",
		"fcm":     "msg=taken status=200 reason=\"\" topic=",
	} {
		t.Run(kind, func(t *testing.T) {
			s := startSimulation(t, kind, filepath.Join(t.TempDir(), "a directory"))
			serve, rest := s.commands[0], s.commands[1:]
			d := startDaemon(t, words(t, strings.TrimPrefix(serve, "belfry serve "))...)
			here := t.TempDir()
			for i, command := range rest {
				out := d.shell(here, command)
				switch {
				case strings.HasPrefix(command, "belfry send"):
					require.Contains(t, out, "delivered", command)
					eventually(t, "the message is a line of the output", func() bool { return strings.Contains(s.lines.String(), line) })
					require.Contains(t, s.lines.String(), "title=Hello")
				case strings.HasSuffix(command, "/simulator/log"):
					require.Contains(t, out, "Hello")
				case strings.Contains(command, "-X DELETE"):
					require.Contains(t, rest[i-1], "/simulator/faults", "first there was a fault")
				}
			}
			require.NoError(t, s.stop(), "Ctrl-C is how it ends")
		})
	}
}

// words is what a shell makes of a line.
func words(t *testing.T, line string) []string {
	t.Helper()
	out, err := exec.Command("sh", "-c", `printf '%s\n' `+line).Output()
	require.NoError(t, err)
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// shell runs a command line in a directory, with this test's program as belfry,
// and its daemon as the one on this machine.
func (d *daemon) shell(dir, line string) (out string) {
	d.t.Helper()
	path, err := binary()
	require.NoError(d.t, err)
	command := exec.Command("sh", "-ec", strings.ReplaceAll(strings.ReplaceAll(line, "http://127.0.0.1:8080", d.url), "curl ", "curl -sSf "))
	command.Dir = dir
	command.Env = append(os.Environ(), "PATH="+filepath.Dir(path)+":"+os.Getenv("PATH"), "BELFRY_SERVER="+d.url, "BELFRY_KEY="+adminKey)
	text, err := command.CombinedOutput()
	require.NoError(d.t, err, "%s\n%s", line, text)
	return string(text)
}

func TestSimulate_KeepsItsKeysOverARestart(t *testing.T) {
	dir := t.TempDir()
	files := func() map[string]string {
		kept := map[string]string{}
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		for _, entry := range entries {
			text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
			require.NoError(t, err)
			kept[entry.Name()] = string(text)
			info, err := entry.Info()
			require.NoError(t, err)
			require.Equal(t, entry.Name() == "ca.pem", info.Mode().Perm()&0o077 != 0, "only the certificate is for others")
			var account map[string]string
			if json.Unmarshal(text, &account) == nil {
				delete(account, "token_uri") // it has the port, which is another one each time
				delete(account, "auth_uri")
				whole, err := json.Marshal(account)
				require.NoError(t, err)
				kept[entry.Name()] = string(whole)
			}
		}
		return kept
	}
	run := func() {
		for _, kind := range []string{"webpush", "apns", "fcm"} {
			require.NoError(t, startSimulation(t, kind, dir).stop())
		}
	}
	run()
	before := files()
	require.Len(t, before, 4, "the authority and its key, Apple's key, the service account")
	run()
	require.Equal(t, before, files())
}

func TestSimulate_SpeaksPlainHTTPToFirefox(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	s := startSimulation(t, "webpush", dir, "--plain")
	require.True(t, strings.HasPrefix(s.url, "http://"))
	require.Contains(t, s.commands, "dom.push.serverURL = ws"+strings.TrimPrefix(s.url, "http")+"/")
	require.NotContains(t, strings.Join(s.commands, "\n"), "cacert")
	require.NoDirExists(t, dir, "it has nothing to keep")
}

func TestSimulate_SaysWhatIsWrong(t *testing.T) {
	path, err := binary()
	require.NoError(t, err)
	broken := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(broken, "AuthKey_ABCDE12345.p8"), []byte("no key"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(broken, "service-account.json"), []byte(`{"type":"service_account"}`), 0o600))
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for problem, args := range map[string][]string{
		"0.0.0.0 is not a loopback address":                            {"webpush", "--plain", "--listen", "0.0.0.0:0"},
		`the address "here" is not host:port`:                          {"apns", "--listen", "here", "--dir", t.TempDir()},
		"--dir (BELFRY_SIMULATE_DIR)":                                  {"webpush", "--dir", file},
		"AuthKey_ABCDE12345.p8 is not a signing key of Apple's kind":   {"apns", "--listen", "127.0.0.1:0", "--dir", broken},
		"the service account is not one that a simulator made":         {"fcm", "--listen", "127.0.0.1:0", "--dir", broken},
		`--vendor must be one of "mozilla","apple","google","windows"`: {"webpush", "--vendor", "acme"},
	} {
		out, err := exec.Command(path, append([]string{"simulate"}, args...)...).CombinedOutput()
		require.Error(t, err, problem)
		require.Contains(t, string(out), problem)
	}
}
