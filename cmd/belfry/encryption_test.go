package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// newCertificate makes one for a name or address, signed by itself.
func newCertificate(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

// trusting is a client that trusts these certificates alone.
func trusting(t *testing.T, certs ...[]byte) *tls.Config {
	t.Helper()
	pool := x509.NewCertPool()
	for _, cert := range certs {
		require.True(t, pool.AppendCertsFromPEM(cert))
	}
	return &tls.Config{RootCAs: pool}
}

// safeBuffer may be written by several.
type safeBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// certificates are files that a door is served with.
type certificates struct {
	t         *testing.T
	flags     serveFlags
	log       safeBuffer
	door      *frontDoor
	cert, key string
}

func newCertificates(t *testing.T) *certificates {
	dir := t.TempDir()
	c := &certificates{t: t, cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	c.flags.TLSCert, c.flags.TLSKey = c.cert, c.key
	return c
}

func (c *certificates) write(cert, key []byte) {
	c.t.Helper()
	require.NoError(c.t, os.WriteFile(c.cert, cert, 0o600))
	require.NoError(c.t, os.WriteFile(c.key, key, 0o600))
}

func (c *certificates) open() {
	c.t.Helper()
	config, err := c.flags.encryption(slog.New(slog.NewTextHandler(&c.log, nil)))
	require.NoError(c.t, err)
	c.door = newDoor(c.t, doorConfig{tls: config}, hello)
}

// serves tells whether a new connection is served with a certificate.
func (c *certificates) serves(cert []byte) bool {
	c.t.Helper()
	conn, err := tls.Dial("tcp", c.door.listener.Addr().String(), trusting(c.t, cert))
	if err == nil {
		conn.Close()
	}
	return err == nil
}

func TestCertificates_AreTakenUpWhenTheirFilesChange(t *testing.T) {
	c := newCertificates(t)
	first, firstKey := newCertificate(t, "127.0.0.1")
	second, secondKey := newCertificate(t, "127.0.0.1")
	c.write(first, firstKey)
	c.open()
	require.True(t, c.serves(first))
	held, err := tls.Dial("tcp", c.door.listener.Addr().String(), trusting(t, first))
	require.NoError(t, err)
	defer held.Close()

	c.write(second, secondKey)
	require.True(t, c.serves(second))
	require.False(t, c.serves(first))
	require.NoError(t, askOn(held), "connections that there are go on")
	require.Equal(t, 1, strings.Count(c.log.String(), "connections use it from now on"))
}

func TestCertificates_OfNoUseLeaveTheOneBefore(t *testing.T) {
	c := newCertificates(t)
	first, firstKey := newCertificate(t, "127.0.0.1")
	second, secondKey := newCertificate(t, "127.0.0.1")
	c.write(first, firstKey)
	c.open()
	for _, bad := range []func(){
		func() { c.write(second, firstKey) }, // as between the writing of two files
		func() { c.write([]byte("nonsense"), secondKey) },
		func() { c.write(nil, nil) },
		func() { require.NoError(t, os.Remove(c.key)) },
	} {
		bad()
		before := strings.Count(c.log.String(), "of no use")
		for range 3 {
			require.True(t, c.serves(first))
		}
		require.Equal(t, before+1, strings.Count(c.log.String(), "of no use"), "it is said once")
	}
	c.write(second, secondKey)
	require.True(t, c.serves(second))
	require.NotContains(t, c.log.String(), "PRIVATE KEY")
}

func TestCheckEncryption(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, content, 0o600))
		return path
	}
	cert, key := newCertificate(t, "push.your.domain")
	_, otherKey := newCertificate(t, "push.your.domain")
	good, goodKey, wrongKey := file("cert.pem", cert), file("key.pem", key), file("other.pem", otherKey)
	for _, c := range []struct {
		what  string
		flags serveFlags
		says  string // empty: all is well
	}{
		{"nothing", serveFlags{}, ""},
		{"files", serveFlags{TLSCert: good, TLSKey: goodKey}, ""},
		{"names", serveFlags{ACMEDomains: []string{"push.your.domain", "xn--bcher-kva.example"}}, ""},
		{"another authority", serveFlags{ACMEDomains: []string{"push.your.domain"}, ACMEURL: "https://ca.your.domain/dir"}, ""},
		{"no key", serveFlags{TLSCert: good}, "--tls-cert (BELFRY_TLS_CERT) and --tls-key (BELFRY_TLS_KEY) go together"},
		{"no certificate", serveFlags{TLSKey: goodKey}, "go together"},
		{"another's key", serveFlags{TLSCert: good, TLSKey: wrongKey}, "are not a certificate and its key"},
		{"no such file", serveFlags{TLSCert: good, TLSKey: filepath.Join(dir, "absent")}, "--tls-key (BELFRY_TLS_KEY): open "},
		{"both ways", serveFlags{TLSCert: good, TLSKey: goodKey, ACMEDomains: []string{"push.your.domain"}}, "exclude each other"},
		{"a port", serveFlags{ACMEDomains: []string{"push.your.domain:443"}}, "is not a domain name"},
		{"an address", serveFlags{ACMEDomains: []string{"192.0.2.1"}}, "is not a domain name"},
		{"a wildcard", serveFlags{ACMEDomains: []string{"*.your.domain"}}, "is not a domain name"},
		{"upper case", serveFlags{ACMEDomains: []string{"Push.your.domain"}}, "in lower case"},
		{"a name of one's own network", serveFlags{ACMEDomains: []string{"localhost"}}, "is not a domain name"},
		{"an URL without names", serveFlags{ACMEURL: "https://ca.your.domain/dir"}, "and there are none"},
		{"plain http", serveFlags{ACMEDomains: []string{"push.your.domain"}, ACMEURL: "http://ca.your.domain/dir"}, "is not an https URL"},
	} {
		err := c.flags.checkEncryption()
		if c.says == "" {
			require.NoError(t, err, c.what)
			continue
		}
		require.ErrorContains(t, err, c.says, c.what)
	}
}

// Nobody is asked for a certificate of a name that was not given: the authority
// here is not there, and asking it would be another error.
func TestACME_IsForTheNamesThatWereGiven(t *testing.T) {
	dir := t.TempDir()
	flags := serveFlags{storeFlags: storeFlags{DataDir: dir}, ACMEDomains: []string{"push.your.domain"}, ACMEURL: "https://127.0.0.1:1/directory"}
	config, err := flags.encryption(slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.Equal(t, uint16(tls.VersionTLS12), config.MinVersion)
	require.Contains(t, config.NextProtos, "h2")
	require.Contains(t, config.NextProtos, "acme-tls/1")
	greeting := func(name string) *tls.ClientHelloInfo {
		return &tls.ClientHelloInfo{
			ServerName: name, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
			SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}, SupportedCurves: []tls.CurveID{tls.CurveP256},
		}
	}
	for _, name := range []string{"", "evil.dev", "push.your.domain.evil.dev", "sub.push.your.domain", "127.0.0.1", "../key"} {
		_, err := config.GetCertificate(greeting(name))
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "127.0.0.1:1", name)
	}
	_, err = config.GetCertificate(greeting("push.your.domain"))
	require.ErrorContains(t, err, "127.0.0.1:1", "it is asked for at the directory that was given")

	// What was gotten before is kept in the data directory, and used.
	cert, key := newCertificate(t, "push.your.domain")
	require.NoError(t, os.WriteFile(filepath.Join(dir, acmeFolder, "push.your.domain"), append(key, cert...), 0o600))
	info, err := os.Stat(filepath.Join(dir, acmeFolder))
	require.NoError(t, err)
	require.Zero(t, info.Mode().Perm()&0o077, "the keys are for this user alone")
	again, err := flags.encryption(slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	door := newDoor(t, doorConfig{tls: again}, hello)
	client := trusting(t, cert)
	client.ServerName = "push.your.domain"
	conn, err := tls.Dial("tcp", door.listener.Addr().String(), client)
	require.NoError(t, err)
	require.NoError(t, askOn(conn))
	conn.Close()
}

// Each listener has its own configuration: a server completes the one that it is
// given when it begins.
func TestDoors_DoNotShareTheConfigurationOfTLS(t *testing.T) {
	c := newCertificates(t)
	cert, key := newCertificate(t, "127.0.0.1")
	c.write(cert, key)
	c.flags.Listen, c.flags.AdminListen = "127.0.0.1:0", "0.0.0.0:0"
	both, err := c.flags.listen(slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer both.close()
	for _, door := range []*frontDoor{both.public, both.admin} {
		config := trusting(t, cert)
		config.NextProtos = []string{"h2", "http/1.1"}
		_, port, err := net.SplitHostPort(door.listener.Addr().String())
		require.NoError(t, err)
		conn, err := tls.Dial("tcp", net.JoinHostPort("127.0.0.1", port), config)
		require.NoError(t, err)
		require.Equal(t, "h2", conn.ConnectionState().NegotiatedProtocol)
		require.NoError(t, conn.Close())
	}
	require.NotSame(t, both.public.server.TLSConfig, both.admin.server.TLSConfig)
}
