package simulate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// running is what there is of a station between Start and Stop.
type running struct {
	server   *http.Server
	served   chan struct{}   // closed when it does not listen any more
	ctx      context.Context // ends with Stop
	end      context.CancelFunc
	handlers sync.WaitGroup
}

// Start brings a stopped simulator back on its port, with all it had.
func (s *station) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		return errors.New("simulate: it is running already")
	}
	listener, err := net.Listen("tcp", s.config.Address)
	if err != nil {
		return fmt.Errorf("simulate: start: %w", err)
	}
	s.run(listener)
	return nil
}

// run serves until Stop. The station's mutex is held.
func (s *station) run(listener net.Listener) {
	run := &running{served: make(chan struct{})}
	run.ctx, run.end = context.WithCancel(context.Background())
	run.server = &http.Server{
		Handler:           run.tracked(s, s.handler),
		TLSConfig:         s.tls,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: s.config.StreamLimit},
		ReadHeaderTimeout: time.Minute,
		ConnContext:       s.onConnection,
		ErrorLog:          log.New(io.Discard, "", 0), // who does not trust the authority says so itself
	}
	s.running = run
	go func() {
		defer close(run.served)
		if s.tls == nil {
			run.server.Serve(listener) //nolint:errcheck // it ends by Stop
			return
		}
		run.server.ServeTLS(listener, "", "") //nolint:errcheck // it ends by Stop
	}()
}

// Stop takes the simulator away as a crash would: connections break, held
// answers are never given, and the port refuses connections until Start.
// Stopping a stopped one does nothing.
func (s *station) Stop() {
	s.mu.Lock()
	run := s.running
	s.running = nil
	s.mu.Unlock()
	if run == nil {
		return
	}
	run.end()
	run.server.Close() //nolint:errcheck // it is crashed, not closed
	<-run.served
	run.handlers.Wait()
}

// tracked lets Stop wait for handlers, those that took over their connection too.
func (run *running) tracked(s *station, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		if s.running != run {
			s.mu.Unlock()
			panic(http.ErrAbortHandler)
		}
		run.handlers.Add(1)
		s.mu.Unlock()
		defer run.handlers.Done()

		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(run.ctx, cancel)()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
