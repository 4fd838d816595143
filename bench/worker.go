package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"syscall"
	"time"
)

// A worker is a process that is measured: this program once more, or another that
// speaks the same way. It is told what to do by its arguments. When it is ready
// it says so, then it makes a round for each order:
//
//	parent ──▶ worker   {"for_ms":1000}
//	parent ◀── worker   {"ops":5120,"took_ms":1003,"cpu_ms":987,…}
//
// A line of JSON each, over standard input and output. It ends with its input.
type worker struct {
	name    string // of the contender
	command *exec.Cmd
	orders  io.WriteCloser
	answers *json.Decoder
	told    map[string]string // what it said when it was ready
}

// order asks for a round.
type order struct {
	ForMillis int64 `json:"for_ms"`
}

// sample is what a round came to.
type sample struct {
	Ops        int                `json:"ops"`
	TookMillis float64            `json:"took_ms"`
	CPUMillis  float64            `json:"cpu_ms"` // of the worker's process
	P50Millis  float64            `json:"p50_ms,omitempty"`
	P99Millis  float64            `json:"p99_ms,omitempty"`
	More       map[string]float64 `json:"more,omitempty"` // figures of the scenario's own
}

type greeting struct {
	Ready map[string]string `json:"ready"`
	Error string            `json:"error"`
}

type answer struct {
	sample
	Error string `json:"error"`
}

// job is what a worker does, on its own side.
type job interface {
	// ready is what the parent needs to know of it.
	ready() map[string]string
	// round does it for about so long, and finishes what it began.
	round(ctx context.Context, d time.Duration) (sample, error)
	close() error
}

// startWorker starts this program as a worker.
func startWorker(ctx context.Context, name, job string, settings any) (*worker, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(settings)
	if err != nil {
		return nil, err
	}
	return startProcess(ctx, name, exec.CommandContext(ctx, self, workerArgument, job, string(text)))
}

// startProcess starts any program as a worker, and waits until it is ready.
func startProcess(ctx context.Context, name string, command *exec.Cmd) (*worker, error) {
	w := &worker{name: name, command: command}
	command.Stderr = os.Stderr
	var err error
	if w.orders, err = command.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	w.answers = json.NewDecoder(bufio.NewReader(output))
	var greeting greeting
	err = w.answers.Decode(&greeting)
	if err == nil && greeting.Error != "" {
		err = errors.New(greeting.Error)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), w.stop())
	}
	w.told = greeting.Ready
	return w, nil
}

// round has the worker make a round.
func (w *worker) round(_ context.Context, d time.Duration) (figures, error) {
	if err := json.NewEncoder(w.orders).Encode(order{ForMillis: d.Milliseconds()}); err != nil {
		return nil, fmt.Errorf("%s: %w", w.name, err)
	}
	var answer answer
	if err := w.answers.Decode(&answer); err != nil {
		return nil, fmt.Errorf("%s: %w", w.name, err)
	}
	if answer.Error != "" {
		return nil, fmt.Errorf("%s: %s", w.name, answer.Error)
	}
	return answer.figures(), nil
}

func (w *worker) called() string { return w.name }

func (w *worker) stop() error {
	w.orders.Close()
	if err := w.command.Wait(); err != nil {
		return fmt.Errorf("%s: %w", w.name, err)
	}
	return nil
}

func (s sample) figures() figures {
	found := figures{}
	for name, value := range s.More {
		found[name] = value
	}
	if s.Ops > 0 {
		found[rate] = float64(s.Ops) / s.TookMillis * 1000
		found[done] = float64(s.Ops)
		found[cpu] = s.CPUMillis * 1000 / float64(s.Ops)
	}
	if s.P50Millis > 0 {
		found[p50], found[p99] = s.P50Millis, s.P99Millis
	}
	return found
}

// workerArgument makes this program a worker.
const workerArgument = "worker"

// garbage is as in the real program, for all contenders in Go.
const garbage = 200

// work is a worker's main: the job's name, and its settings as JSON.
func work(args []string) error {
	ctx := context.Background()
	debug.SetGCPercent(garbage)
	answers := json.NewEncoder(os.Stdout)
	job, err := openJob(ctx, args)
	if err != nil {
		return answers.Encode(greeting{Error: err.Error()})
	}
	defer job.close()
	stop, err := profile(args[0])
	if err != nil {
		return answers.Encode(greeting{Error: err.Error()})
	}
	defer stop()
	if err := answers.Encode(greeting{Ready: job.ready()}); err != nil {
		return err
	}
	orders := json.NewDecoder(os.Stdin)
	for {
		var order order
		if err := orders.Decode(&order); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		runtime.GC()
		var answer answer
		before := cpuTime()
		answer.sample, err = job.round(ctx, time.Duration(order.ForMillis)*time.Millisecond)
		if answer.CPUMillis == 0 {
			answer.CPUMillis = millis(cpuTime() - before)
		}
		if err != nil {
			answer.Error = err.Error()
		}
		if err := answers.Encode(answer); err != nil {
			return err
		}
	}
}

// profileDir is the environment variable with the directory for workers' CPU profiles.
const profileDir = "BELFRY_BENCH_PROFILES"

// profile takes a CPU profile until stop is called, if one is wanted.
func profile(job string) (stop func(), err error) {
	dir := os.Getenv(profileDir)
	if dir == "" {
		return func() {}, nil
	}
	file, err := os.Create(filepath.Join(dir, fmt.Sprintf("%s-%d.pprof", job, os.Getpid())))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		file.Close()
	}, nil
}

func openJob(ctx context.Context, args []string) (job, error) {
	if len(args) != 2 {
		return nil, errors.New("a worker takes a job and its settings")
	}
	open, ok := jobs[args[0]]
	if !ok {
		return nil, fmt.Errorf("there is no job %q", args[0])
	}
	return open(ctx, []byte(args[1]))
}

// jobs are all there are, by name.
var jobs = map[string]func(ctx context.Context, settings []byte) (job, error){
	"simulate-webpush":   opener(openWebPushSimulator),
	"simulate-apns":      opener(openAPNsSimulator),
	"send-belfry":        opener(openBelfrySend),
	"send-webpush-go":    opener(openWebpushGo),
	"apns-belfry":        opener(openBelfryAPNs),
	"apns-apns2":         opener(openAPNs2),
	"accept-belfry":      opener(openAccept),
	"accept-file":        opener(openFile),
	"accept-rows":        opener(openRows),
	"lifecycle-belfry":   opener(openLifecycle),
	"lifecycle-river":    opener(openRiver),
	"cold-belfry":        opener(openCold),
	"memory-of-an-actor": opener(openActorMemory),
}

// opener makes a job's opener one that reads its settings.
func opener[S any, J job](open func(context.Context, S) (J, error)) func(context.Context, []byte) (job, error) {
	return func(ctx context.Context, text []byte) (job, error) {
		var settings S
		if err := json.Unmarshal(text, &settings); err != nil {
			return nil, fmt.Errorf("read the settings: %w", err)
		}
		return open(ctx, settings)
	}
}

// cpuTime is what this process has had of the processors.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err) // it does not fail for a process itself
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
