package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/belfryhq/belfry/api"
	"github.com/belfryhq/belfry/store"
)

const (
	closeTimeout = time.Second // for answers under way to be taken, when it ends
	headerMax    = 16 << 10    // bytes of a request's header
)

// Of HTTP/2, which multiplies what one connection can hold.
const (
	streamsMax       = 100       // requests at a time on one connection
	streamBuffer     = 64 << 10  // bytes of a request's body that wait to be read
	connectionBuffer = 256 << 10 // and of all together on one connection
)

// patience is how long a door waits for who is behind it.
type patience struct {
	header  time.Duration // for a request's header, or a TLS handshake, to arrive
	request time.Duration // for a whole request to arrive
	answer  time.Duration // for an answer to be taken
	idle    time.Duration // for the next request on a connection
}

var usualPatience = patience{header: 5 * time.Second, request: 30 * time.Second, answer: time.Minute, idle: 2 * time.Minute}

// doorConfig says what a door is like.
type doorConfig struct {
	setting  string      // which flag the address came by
	address  string      // host:port
	tls      *tls.Config // nil for plain HTTP
	most     int         // connections
	patience patience
	log      *slog.Logger
}

// frontDoor is an HTTP server. What it answers with can be exchanged.
type frontDoor struct {
	listener  net.Listener
	encrypted bool
	server    *http.Server
	handler   atomic.Pointer[http.Handler]
	done      chan struct{}
}

func listen(config doorConfig) (*frontDoor, error) {
	listener, err := net.Listen("tcp", config.address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", config.setting, err)
	}
	f := &frontDoor{listener: listener, encrypted: config.tls != nil, done: make(chan struct{})}
	f.answer(api.Waiting("it is starting"))
	open := newConnections(fittingConnections(config.most))
	f.server = &http.Server{
		Handler:           http.HandlerFunc(f.serve),
		TLSConfig:         config.tls.Clone(), // the server completes it, and another one may have it too
		MaxHeaderBytes:    headerMax,
		ReadHeaderTimeout: config.patience.header,
		ReadTimeout:       config.patience.request,
		WriteTimeout:      config.patience.answer,
		IdleTimeout:       config.patience.idle,
		ConnState:         open.changed,
		ConnContext:       open.remember,
		ErrorLog:          slog.NewLogLogger(config.log.Handler(), slog.LevelDebug),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          streamsMax,
			MaxReceiveBufferPerStream:     streamBuffer,
			MaxReceiveBufferPerConnection: connectionBuffer,
			WriteByteTimeout:              config.patience.answer,
		},
	}
	go func() {
		defer close(f.done)
		if f.encrypted {
			f.server.ServeTLS(listener, "", "") //nolint:errcheck // it ends by close
			return
		}
		f.server.Serve(listener) //nolint:errcheck // it ends by close
	}()
	return f, nil
}

func (f *frontDoor) serve(w http.ResponseWriter, r *http.Request) {
	if f.encrypted {
		w.Header().Set("Strict-Transport-Security", "max-age=31536000") // a year
	}
	if len(r.TransferEncoding) > 0 {
		// It may have had a Content-Length too, of which net/http does not tell, and a
		// proxy may have gone by that: what follows on the connection is not to be
		// trusted (RFC 9112 §6.1).
		w.Header().Set("Connection", "close")
	}
	(*f.handler.Load()).ServeHTTP(w, r)
}

func (f *frontDoor) answer(with http.Handler) { f.handler.Store(&with) }

func (f *frontDoor) url() string {
	if f.encrypted {
		return "https://" + f.listener.Addr().String()
	}
	return "http://" + f.listener.Addr().String()
}

func (f *frontDoor) loopback() bool {
	address, ok := f.listener.Addr().(*net.TCPAddr)
	return ok && address.IP.IsLoopback()
}

// close lets requests that are being answered finish, for a while. Closing
// twice does nothing.
func (f *frontDoor) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if f.server.Shutdown(ctx) != nil {
		f.server.Close() //nolint:errcheck // the listener is closed already
	}
	<-f.done
}

// doors are what a process listens on.
type doors struct {
	public *frontDoor
	admin  *frontDoor // nil if the public one serves everything
}

// listen begins to, everywhere or nowhere.
func (f *serveFlags) listen(log *slog.Logger) (*doors, error) {
	encryption, err := f.encryption(log)
	if err != nil {
		return nil, err
	}
	public, err := listen(doorConfig{
		setting: "--listen (BELFRY_LISTEN)", address: f.Listen, tls: encryption, most: connectionsMax, patience: usualPatience, log: log,
	})
	if err != nil || f.AdminListen == "" {
		return &doors{public: public}, err
	}
	if isLoopback(f.AdminListen) {
		encryption = nil // nobody listens in, and certificates are for other names
	}
	admin, err := listen(doorConfig{
		setting: "--admin-listen (BELFRY_ADMIN_LISTEN)", address: f.AdminListen, tls: encryption, most: operatorsMax, patience: usualPatience, log: log,
	})
	if err != nil {
		public.close()
		return nil, err
	}
	return &doors{public: public, admin: admin}, nil
}

// answer is with public where strangers come, and with all where operators do,
// which may be the same.
func (d *doors) answer(public, all http.Handler) {
	if d.admin == nil {
		d.public.answer(all)
		return
	}
	d.public.answer(public)
	d.admin.answer(all)
}

// wait answers that nothing can be served now, for a reason.
func (d *doors) wait(reason string) {
	waiting := api.Waiting(reason)
	d.answer(waiting, waiting)
}

// standBy is wait, and shows the metrics to operators.
func (d *doors) standBy(reason string, keys store.APIKeys, see *observation) {
	d.answer(api.Waiting(reason), api.Standby(reason, keys, see.metrics.registry, see.log))
}

// serve answers by the API.
func (d *doors) serve(server *api.Server) {
	if d.admin == nil {
		d.public.answer(server.Handler())
		return
	}
	d.public.answer(server.PublicHandler())
	d.admin.answer(server.AdminHandler())
}

func (d *doors) close() {
	d.public.close()
	if d.admin != nil {
		d.admin.close()
	}
}

// isLoopback tells whether an address to listen on is reached from this machine
// alone.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
