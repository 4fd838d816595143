package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

// commandLine is what can be said to it.
type commandLine struct {
	Scenarios []string      `arg:"" optional:"" help:"Scenarios to run: encode, send, apns, accept, lifecycle, cold, path, latency, memory. Default: all. A goal of send compares it with encode."`
	Rounds    int           `default:"5" help:"Rounds of each contender."`
	Round     time.Duration `default:"1s" help:"How long a round is, about."`
	Root      string        `default:".." type:"existingdir" help:"Belfry's sources."`
	Program   string        `type:"existingfile" placeholder:"FILE" help:"A belfry to measure in path, latency and memory, rather than the one that the sources make."`
	JSON      bool          `name:"json" help:"Print all figures of all rounds as JSON rather than a table."`
	Markdown  string        `type:"path" placeholder:"FILE" help:"Write the tables to a page of the documentation, too."`
	Profiles  string        `type:"existingdir" placeholder:"DIR" help:"Write CPU profiles of Belfry's and other workers into a directory."`
	Quick     bool          `help:"One short round of each, of a hundredth of the users: to see that everything works. Its figures mean nothing."`
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == workerArgument {
		exitOn(work(os.Args[2:]))
		return
	}
	var c commandLine
	kong.Parse(&c, kong.Name("bench"), kong.Description("Measures Belfry, and what one would use instead. Everything stays on this machine."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exitOn(c.run(ctx))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (c *commandLine) check() error {
	for _, name := range c.Scenarios {
		if !slices.ContainsFunc(scenarios, func(s scenario) bool { return s.name == name }) {
			return fmt.Errorf("there is no scenario %q: see --help", name)
		}
	}
	if c.Rounds < 1 || c.Round < 10*time.Millisecond {
		return errors.New("--rounds is at least 1, --round at least 10ms")
	}
	if c.Quick {
		c.Rounds, c.Round = 1, min(c.Round, 200*time.Millisecond)
	}
	return nil
}

func (c *commandLine) run(ctx context.Context) (err error) {
	if err := c.check(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "belfry-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil { // PostgreSQL's user passes through
		return err
	}
	root, err := filepath.Abs(c.Root)
	if err != nil {
		return err
	}
	if c.Profiles != "" {
		if err := os.Setenv(profileDir, c.Profiles); err != nil {
			return err
		}
	}
	began := time.Now()
	b := &bench{
		rounds: c.Rounds, length: c.Round, quick: c.Quick, dir: dir, root: root, program: c.Program, found: map[string][]*series{},
		say: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) },
	}
	failed := b.runAll(ctx, c.Scenarios)
	r := report{
		Machine: b.machine(), Took: time.Since(began).Round(time.Second).String(), Rounds: c.Rounds, Quick: c.Quick,
		Scenarios: b.found, Verdicts: b.judge(), Notes: b.notes,
	}
	return errors.Join(failed, c.show(r, failed == nil))
}

// show prints what was found, and writes the page if it is whole.
func (c *commandLine) show(r report, whole bool) error {
	if c.Markdown != "" && whole {
		if err := r.markdown(c.Markdown); err != nil {
			return err
		}
	}
	if c.JSON {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	r.text(os.Stdout)
	return nil
}
