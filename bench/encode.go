package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// runEncode runs the Go benchmarks beside the code: what they measure is not
// exported. Each on one core, so that what the garbage collector takes is in it.
func runEncode(ctx context.Context, b *bench) error {
	const dir = "push/webpush"
	program := filepath.Join(b.dir, "webpush.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", program, "./"+dir)
	build.Dir = b.root
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the benchmarks of %s: %w\n%s", dir, err, out)
	}
	in := filepath.Join(b.root, dir)
	return b.alternate(ctx,
		&goBenchmark{"primitives alone", program, in, "BenchmarkPrimitives"},
		&goBenchmark{"Belfry", program, in, "BenchmarkEncode"},
		&goBenchmark{"webpush-go", program, in, "BenchmarkWebpushGo"})
}

// goBenchmark is one of a test program's benchmarks.
type goBenchmark struct {
	name, program, dir, benchmark string
}

func (g *goBenchmark) called() string { return g.name }
func (g *goBenchmark) stop() error    { return nil }

var benchmarkLine = regexp.MustCompile(`^Benchmark\S+\s+\d+\s+([0-9.]+) ns/op(?:\s+(\d+) B/op\s+(\d+) allocs/op)?`)

func (g *goBenchmark) round(ctx context.Context, d time.Duration) (figures, error) {
	command := exec.CommandContext(ctx, g.program, "-test.run", "^$", "-test.bench", "^"+g.benchmark+"$", "-test.cpu", "1", "-test.benchtime", d.String())
	command.Dir = g.dir
	out, err := command.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", g.benchmark, err, out)
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		if found := benchmarkLine.FindStringSubmatch(strings.TrimSpace(lines.Text())); found != nil {
			nanos, err := strconv.ParseFloat(found[1], 64)
			if err != nil {
				return nil, err
			}
			result := figures{elapsed: nanos / 1000}
			if allocs, err := strconv.ParseFloat(found[3], 64); err == nil {
				result["allocations"] = allocs
			}
			return result, nil
		}
	}
	return nil, fmt.Errorf("%s printed no figure:\n%s", g.benchmark, out)
}
