package main

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/procfs"
)

// postgresCPU is what PostgreSQL's processes took of the processors for each.
const postgresCPU = "PostgreSQL's CPU µs each"

// processCPU is what a process, and those of its children that have ended, took so far.
func processCPU(pid int) (time.Duration, error) {
	process, err := procfs.NewProc(pid)
	if err != nil {
		return 0, err
	}
	stat, err := process.Stat()
	if err != nil {
		return 0, fmt.Errorf("look at process %d: %w", pid, err)
	}
	const tick = 10 * time.Millisecond // Linux' USER_HZ
	return time.Duration(stat.UTime+stat.STime+uint(stat.CUTime+stat.CSTime)) * tick, nil
}

// familyCPU is processCPU with the children that live.
func familyCPU(pid int) (time.Duration, error) {
	all, err := procfs.AllProcs()
	if err != nil {
		return 0, err
	}
	total, err := processCPU(pid)
	if err != nil {
		return 0, err
	}
	for _, process := range all {
		if stat, err := process.Stat(); err == nil && stat.PPID == pid { // one may have ended meanwhile
			used, err := processCPU(process.PID)
			if err == nil {
				total += used
			}
		}
	}
	return total, nil
}

// onPostgres is a worker that keeps its data in PostgreSQL, whose work counts too.
type onPostgres struct {
	*worker
	server int
}

func (p *onPostgres) round(ctx context.Context, d time.Duration) (figures, error) {
	before, err := familyCPU(p.server)
	if err != nil {
		return nil, err
	}
	found, err := p.worker.round(ctx, d)
	if err != nil {
		return nil, err
	}
	after, err := familyCPU(p.server)
	if err != nil {
		return nil, err
	}
	if ops := found[done]; ops > 0 {
		found[postgresCPU] = float64((after - before).Microseconds()) / ops
	}
	return found, nil
}
