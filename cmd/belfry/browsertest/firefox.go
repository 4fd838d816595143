// Package browsertest drives a stock Firefox, headless, for tests: it opens
// pages, runs JavaScript in them, and clicks the notifications it shows.
//
// Nothing is simulated: the browser subscribes through its own Push API,
// decrypts, and runs service workers. Only its push service is another one,
// given by Config.AutopushURL, and whatever is not loopback cannot be reached.
// Notifications are not allowed until SetPermission says so; a page that asks
// before waits for ever, for nobody is there to answer.
//
// It speaks WebDriver BiDi (w3c.github.io/webdriver-bidi), and beyond that only
// Mozilla's "moz:scope" for the browser's own windows. Starting takes 5 to 10
// seconds and 450 MiB, so the tests of a package share one browser and take an
// origin each.
package browsertest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ErrNoFirefox says that there is no Firefox on this machine.
var ErrNoFirefox = errors.New("no Firefox here: apt-get install firefox-esr, or name one by BELFRY_FIREFOX")

// Config is how a Firefox is started.
type Config struct {
	AutopushURL string // the push service's WebSocket address; required
}

// Firefox is a running browser with a profile of its own. Its methods may be
// called from many goroutines.
type Firefox struct {
	profile string
	process *process
	bidi    *connection
}

// Find looks for a Firefox: BELFRY_FIREFOX, firefox-esr, firefox.
func Find() (string, error) {
	for _, name := range []string{os.Getenv("BELFRY_FIREFOX"), "firefox-esr", "firefox"} {
		if name == "" {
			continue
		}
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", ErrNoFirefox
}

// Need skips a test if the error is that there is no Firefox, and fails it for
// any other one. With BELFRY_REQUIRE_FIREFOX=1 it never skips.
func Need(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, ErrNoFirefox) && os.Getenv("BELFRY_REQUIRE_FIREFOX") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Start starts a Firefox with a fresh profile; ErrNoFirefox if there is none.
// It runs until Close, and dies with this process.
func Start(ctx context.Context, config Config) (*Firefox, error) {
	path, err := Find()
	if err != nil {
		return nil, err
	}
	f := &Firefox{}
	if err := f.start(ctx, path, config); err != nil {
		f.Close()
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return f, nil
}

func (f *Firefox) start(ctx context.Context, path string, config Config) (err error) {
	f.profile, err = os.MkdirTemp("", "belfry-firefox-")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(f.profile, "user.js"), []byte(preferences(config)), 0o600); err != nil {
		return err
	}
	f.process, err = startProcess(path, f.profile)
	if err != nil {
		return err
	}
	address, err := f.process.bidiAddress(ctx)
	if err != nil {
		return err
	}
	f.bidi, err = dial(ctx, address+"/session")
	if err != nil {
		return err
	}
	return f.bidi.call(ctx, "session.new", object{"capabilities": object{}}, nil)
}

// Close ends the browser and removes its profile. What is left of the process
// after five seconds is killed.
func (f *Firefox) Close() {
	if f.bidi != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		f.bidi.call(ctx, "browser.close", object{}, nil)
		cancel()
		f.bidi.close()
	}
	if f.process != nil {
		f.process.end(5 * time.Second)
	}
	if f.profile != "" {
		os.RemoveAll(f.profile)
	}
}

// preferences is the profile's user.js.
func preferences(config Config) string {
	var b strings.Builder
	set := func(name, value string) { fmt.Fprintf(&b, "user_pref(%q, %s);\n", name, value) }

	set("dom.push.serverURL", fmt.Sprintf("%q", config.AutopushURL))
	set("dom.push.testing.allowInsecureServerURL", "true") // else subscribe() rejects with AbortError
	set("dom.push.connection.enabled", "true")             // remote control turns it off otherwise
	set("dom.push.retryBaseInterval", "200")               // milliseconds: reconnect at once
	set("dom.push.requestTimeout", "2000")                 // milliseconds: subscribe() fails soon if the push service is away
	set("dom.push.maxQuotaPerSubscription", "100000")

	set("alerts.useSystemBackend", "false")                      // alert windows of its own, without D-Bus
	set("dom.webnotifications.requireinteraction.count", "1000") // else the fourth blocks showNotification() for ever

	// Nothing asks, nothing greets, and only loopback can be reached: all else
	// goes through a proxy that is not there.
	set("browser.shell.checkDefaultBrowser", "false")
	set("browser.aboutwelcome.enabled", "false")
	set("datareporting.policy.dataSubmissionEnabled", "false")
	set("services.settings.server", `"data:,#remote-settings-dummy/v1"`) // with MOZ_REMOTE_SETTINGS_DEVTOOLS
	set("network.proxy.type", "1")
	for _, scheme := range []string{"http", "ssl"} {
		set("network.proxy."+scheme, `"127.0.0.1"`)
		set("network.proxy."+scheme+"_port", "9")
	}
	return b.String()
}

// process is the browser's process group.
type process struct {
	command *exec.Cmd
	address chan string   // the BiDi address, once it is printed
	exited  chan struct{} // closed when the process is gone and reaped
}

func startProcess(path, profile string) (*process, error) {
	p := &process{address: make(chan string, 1), exited: make(chan struct{})}
	p.command = exec.Command(path, "--headless", "--no-remote", "--profile", profile,
		"--remote-debugging-port=0", "-remote-allow-system-access")
	p.command.Env = append(os.Environ(), "MOZ_REMOTE_SETTINGS_DEVTOOLS=1", "HOME="+profile)
	p.command.SysProcAttr = ownGroup()
	stderr, err := p.command.StderrPipe()
	if err != nil {
		return nil, err
	}

	started := make(chan error)
	go func() {
		// The kernel ends the child with the thread that started it, so that
		// thread stays until the child is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.command.Start()
		started <- err
		if err != nil {
			return
		}
		p.scan(stderr)
		p.command.Wait()
		close(p.exited)
	}()
	return p, <-started
}

var listening = regexp.MustCompile(`WebDriver BiDi listening on (ws://\S+)`)

// scan looks for the BiDi address in what the browser prints, to its end.
func (p *process) scan(stderr io.Reader) {
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if found := listening.FindStringSubmatch(lines.Text()); found != nil {
			p.address <- found[1]
		}
	}
	io.Copy(io.Discard, stderr)
}

func (p *process) bidiAddress(ctx context.Context) (string, error) {
	select {
	case address := <-p.address:
		return address, nil
	case <-p.exited:
		return "", fmt.Errorf("it ended: %s", p.command.ProcessState)
	case <-ctx.Done():
		return "", fmt.Errorf("it does not say where to reach it: %w", ctx.Err())
	}
}

// end waits for the process to end by itself, and kills its group after that.
func (p *process) end(patience time.Duration) {
	select {
	case <-p.exited:
	case <-time.After(patience):
	}
	syscall.Kill(-p.command.Process.Pid, syscall.SIGKILL)
	<-p.exited
}
