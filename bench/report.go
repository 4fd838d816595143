package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/prometheus/procfs"
)

// report is all that a run came to.
type report struct {
	Machine   machine              `json:"machine"`
	Took      string               `json:"took"`
	Rounds    int                  `json:"rounds"`
	Quick     bool                 `json:"quick"` // too little was measured to say anything
	Scenarios map[string][]*series `json:"scenarios"`
	Verdicts  []verdict            `json:"verdicts"`
	Notes     []string             `json:"notes"`
}

// machine is where and of what it was measured.
type machine struct {
	Date     string   `json:"date"`
	System   string   `json:"system"`
	CPU      string   `json:"cpu"`
	Cores    int      `json:"cores"`
	MemoryGB float64  `json:"memory_gb"`
	Go       string   `json:"go"`
	Belfry   string   `json:"belfry"`
	Versions []string `json:"versions"` // of what it is compared with
}

// compared are the modules whose versions matter.
var compared = []string{
	"github.com/SherClockHolmes/webpush-go", "github.com/sideshow/apns2", "github.com/riverqueue/river",
	"github.com/jackc/pgx/v5", "modernc.org/sqlite", "github.com/asynkron/protoactor-go",
}

func (b *bench) machine() machine {
	m := machine{
		Date: time.Now().UTC().Format(time.DateOnly), System: runtime.GOOS + "/" + runtime.GOARCH, Cores: runtime.NumCPU(), Go: runtime.Version(),
	}
	if fs, err := procfs.NewDefaultFS(); err == nil {
		if cpus, err := fs.CPUInfo(); err == nil && len(cpus) > 0 {
			m.CPU = cpus[0].ModelName
		}
		if memory, err := fs.Meminfo(); err == nil && memory.MemTotalBytes != nil {
			m.MemoryGB = math.Round(float64(*memory.MemTotalBytes) / 1e9)
		}
	}
	m.Belfry = b.output("git", "describe", "--tags", "--always", "--dirty")
	for program, args := range map[string][]string{"postgres": {"--version"}, "node": {"--version"}} {
		if version := b.output(program, args...); version != "" {
			m.Versions = append(m.Versions, strings.TrimPrefix(program+" "+version, "postgres "))
		}
	}
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, module := range build.Deps {
			for _, path := range compared {
				if module.Path == path {
					m.Versions = append(m.Versions, path+" "+module.Version)
				}
			}
		}
	}
	return m
}

// output is what a program prints; empty if it cannot be run.
func (b *bench) output(name string, args ...string) string {
	command := exec.Command(name, args...)
	command.Dir = b.root
	out, err := command.Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// text shows a report to a person at a terminal.
func (r report) text(to io.Writer) {
	for _, s := range scenarios {
		all := r.Scenarios[s.name]
		if len(all) == 0 {
			continue
		}
		fmt.Fprintf(to, "\n%s: %s\n", s.name, s.about)
		table := tabwriter.NewWriter(to, 2, 8, 2, ' ', 0)
		for _, line := range cells(all) {
			fmt.Fprintln(table, "  "+strings.Join(line, "\t"))
		}
		table.Flush()
	}
	fmt.Fprintln(to)
	table := tabwriter.NewWriter(to, 2, 8, 2, ' ', 0)
	fmt.Fprintln(table, "goal\twanted\tmeasured\tholds")
	for _, v := range r.Verdicts {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", v.Goal, v.Wanted, short(v.Measured), yes(v.Holds))
	}
	table.Flush()
	for _, note := range r.Notes {
		fmt.Fprintln(to, "note:", note)
	}
}

// cells are a table: a head, and a line for each contender, with the middle of its
// rounds, and the least and the most where they differ.
func cells(all []*series) [][]string {
	figures := names(all)
	lines := [][]string{append([]string{""}, figures...)}
	for _, s := range all {
		line := []string{s.Contender}
		for _, figure := range figures {
			line = append(line, spreadText(s.Rounds[figure]))
		}
		lines = append(lines, line)
	}
	return lines
}

func spreadText(rounds []float64) string {
	if len(rounds) == 0 {
		return "–"
	}
	least, middle, most := spread(rounds)
	if short(least) == short(most) {
		return short(middle)
	}
	return fmt.Sprintf("%s (%s–%s)", short(middle), short(least), short(most))
}

// short is a number with three digits or more.
func short(value float64) string {
	switch size := math.Abs(value); {
	case size >= 100:
		return humanize.Comma(int64(math.Round(value)))
	case size >= 10:
		return fmt.Sprintf("%.1f", value)
	default:
		return fmt.Sprintf("%.2f", value)
	}
}

func yes(holds bool) string {
	if holds {
		return "yes"
	}
	return "NO"
}

func oneLine(found figures) string {
	s := &series{Rounds: map[string][]float64{}}
	s.add(found)
	var parts []string
	for _, name := range names([]*series{s}) {
		parts = append(parts, short(found[name])+" "+name)
	}
	return strings.Join(parts, ", ")
}

// markdown writes a report as a page of the documentation.
func (r report) markdown(path string) error {
	var page strings.Builder
	m := r.Machine
	fmt.Fprintf(&page, "# Benchmarks\n\nMade by `make bench` in %s, on %s. Every figure is the median of %d rounds that alternate, with the least and the most in\nparentheses; `memory` is measured once. "+
		"What is compared was measured in the same run. CPU is that of the measured process alone: push services, PostgreSQL and\ncallers over HTTP are processes of their own.\n\n", r.Took, m.Date, r.Rounds)
	fmt.Fprintf(&page, "%d cores (%s), %.0f GB, %s, %s. Belfry %s.\n", m.Cores, m.CPU, m.MemoryGB, m.System, m.Go, m.Belfry)
	fmt.Fprintf(&page, "%s.\n\n## Goals\n\n| goal | wanted | measured | holds | what stands in the way |\n|---|---|---|---|---|\n", strings.Join(m.Versions, ", "))
	for _, v := range r.Verdicts {
		fmt.Fprintf(&page, "| %s | %s | %s | %s | %s |\n", v.Goal, v.Wanted, short(v.Measured), yes(v.Holds), v.Limits)
	}
	for _, s := range scenarios {
		all := r.Scenarios[s.name]
		if len(all) == 0 {
			continue
		}
		fmt.Fprintf(&page, "\n## %s\n\n%s%s.\n\n", s.name, strings.ToUpper(s.about[:1]), s.about[1:])
		for i, line := range cells(all) {
			fmt.Fprintf(&page, "| %s |\n", strings.Join(line, " | "))
			if i == 0 {
				fmt.Fprintf(&page, "|%s\n", strings.Repeat("---|", len(line)))
			}
		}
	}
	if len(r.Notes) > 0 {
		fmt.Fprintf(&page, "\n## Notes\n\n- %s\n", strings.Join(r.Notes, "\n- "))
	}
	return os.WriteFile(path, []byte(page.String()), 0o644)
}

func writeJSON(path string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
