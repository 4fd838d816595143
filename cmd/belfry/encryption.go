package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
	"golang.org/x/net/idna"
)

// acmeFolder is where in the data directory certificates from ACME are kept,
// with their keys.
const acmeFolder = "acme"

// encryption is how the listeners speak TLS, or nil if they do not.
func (f *serveFlags) encryption(log *slog.Logger) (*tls.Config, error) {
	switch {
	case f.TLSCert != "":
		pair := &keyPair{certFile: f.TLSCert, keyFile: f.TLSKey, log: log}
		if err := pair.load(); err != nil {
			return nil, err
		}
		return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: pair.get}, nil
	case len(f.ACMEDomains) > 0:
		config := f.certificates().TLSConfig()
		config.MinVersion = tls.VersionTLS12
		return config, nil
	default:
		return nil, nil
	}
}

// certificates gets them from a certificate authority, for the names that were
// given alone. It proves itself on the public listener (TLS-ALPN, RFC 8737).
func (f *serveFlags) certificates() *autocert.Manager {
	return &autocert.Manager{
		Prompt:     autocert.AcceptTOS,
		Cache:      autocert.DirCache(filepath.Join(f.DataDir, acmeFolder)),
		HostPolicy: autocert.HostWhitelist(f.ACMEDomains...),
		Client:     &acme.Client{DirectoryURL: cmp.Or(f.ACMEURL, autocert.DefaultACMEDirectory), UserAgent: "belfry/" + versionString()},
	}
}

// checkEncryption finds what is wrong with the flags for TLS.
func (f *serveFlags) checkEncryption() error {
	var errs []error
	switch {
	case (f.TLSCert == "") != (f.TLSKey == ""):
		errs = append(errs, errors.New("--tls-cert (BELFRY_TLS_CERT) and --tls-key (BELFRY_TLS_KEY) go together: give both"))
	case f.TLSCert != "" && len(f.ACMEDomains) > 0:
		errs = append(errs, errors.New("--acme-domains (BELFRY_ACME_DOMAINS) and --tls-cert (BELFRY_TLS_CERT) exclude each other: give one"))
	case f.TLSCert != "":
		errs = append(errs, (&keyPair{certFile: f.TLSCert, keyFile: f.TLSKey}).load())
	}
	for _, domain := range f.ACMEDomains {
		errs = append(errs, checkDomain(domain))
	}
	if f.ACMEURL != "" {
		at, err := url.Parse(f.ACMEURL)
		if err != nil || at.Scheme != "https" || at.Host == "" {
			errs = append(errs, fmt.Errorf("--acme-url (BELFRY_ACME_URL): %q is not an https URL, such as %s", f.ACMEURL, autocert.DefaultACMEDirectory))
		}
		if len(f.ACMEDomains) == 0 {
			errs = append(errs, errors.New("--acme-url (BELFRY_ACME_URL) is for --acme-domains (BELFRY_ACME_DOMAINS), and there are none"))
		}
	}
	return errors.Join(errs...)
}

// checkDomain tells whether a certificate authority could give a certificate for
// it, without asking for more than a connection.
func checkDomain(domain string) error {
	ascii, err := idna.Lookup.ToASCII(domain)
	if err != nil || ascii != domain || !strings.Contains(domain, ".") || net.ParseIP(domain) != nil {
		return fmt.Errorf("--acme-domains (BELFRY_ACME_DOMAINS): %q is not a domain name; write it like push.your.domain, in lower case, without a port or *", domain)
	}
	return nil
}

// keyPair is a certificate in files. They are read again for every connection,
// which costs little beside the handshake: a renewed certificate counts at once.
// With files that are of no use, that before goes on being used.
type keyPair struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	read    [sha256.Size]byte // of what was read last, of use or not
	current *tls.Certificate
}

// get is a tls.Config's GetCertificate.
func (p *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.current
	switch err := p.loadChanged(); {
	case err != nil:
		p.log.Error("the certificate's files changed and are of no use; the one before goes on being used", "error", err)
	case p.current != before:
		p.log.Info("the certificate's files changed; connections use it from now on", "ends", p.current.Leaf.NotAfter)
	}
	return p.current, nil
}

// load reads the files for the first time.
func (p *keyPair) load() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.loadChanged()
}

// loadChanged reads the files, and takes up what they have if that is not what
// was read last. An error is told once.
func (p *keyPair) loadChanged() error {
	cert, certErr := os.ReadFile(p.certFile)
	key, keyErr := os.ReadFile(p.keyFile)
	read := sha256.Sum256(bytes.Join([][]byte{cert, key, fmt.Append(nil, certErr, keyErr)}, []byte{0}))
	if read == p.read {
		return nil
	}
	p.read = read
	switch {
	case certErr != nil:
		return fmt.Errorf("--tls-cert (BELFRY_TLS_CERT): %w", certErr)
	case keyErr != nil:
		return fmt.Errorf("--tls-key (BELFRY_TLS_KEY): %w", keyErr)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("--tls-cert (BELFRY_TLS_CERT) and --tls-key (BELFRY_TLS_KEY) are not a certificate and its key, in PEM: %w", err)
	}
	p.current = &pair
	return nil
}
