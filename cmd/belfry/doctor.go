package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/belfryhq/belfry/store"
)

// doctorCommand looks for what is wrong, with the flags and the environment of
// serve. It changes nothing: it may run beside an active process.
type doctorCommand struct {
	serveFlags `embed:""`
	Offline    bool `help:"Do not connect to push services."`
}

// Run prints a line for each thing it looked at. It fails if one of them is wrong.
func (c *doctorCommand) Run(ctx context.Context, to streams) error {
	d := newDoctor(&c.serveFlags, newReport(to.out))
	if c.Offline {
		d.online = false
	}
	d.examine(ctx)
	return d.report.end()
}

// doctor goes from what everything else needs to what needs it. What cannot be
// looked at because of something that is wrong is left out.
type doctor struct {
	flags  *serveFlags
	report *report
	now    func() time.Time
	online bool
	hosts  []pushHost // that there are whatever the apps have

	fresh bool // nothing is there yet
}

func newDoctor(flags *serveFlags, report *report) *doctor {
	return &doctor{flags: flags, report: report, now: time.Now, online: true, hosts: browserHosts}
}

func (d *doctor) examine(ctx context.Context) {
	d.checkConfiguration()
	d.checkListener()
	d.checkDirectory()
	hosts := slices.Clone(d.hosts)
	if !d.fresh {
		hosts = append(hosts, d.checkStore(ctx)...)
	}
	d.checkFiles()
	if d.online {
		d.checkHosts(ctx, hosts)
	}
}

// checkStore gives the push hosts that the apps in it need.
func (d *doctor) checkStore(ctx context.Context) []pushHost {
	db := d.openDatabase(ctx)
	if db == nil {
		d.checkNewKey()
		return nil
	}
	defer db.Close()
	if !d.checkDatabase(ctx, db) {
		d.checkNewKey()
		return nil
	}
	d.checkBacklog(ctx, db)
	return d.checkSecrets(ctx, db)
}

// examined is a database that was opened to be looked at.
type examined interface {
	store.Store
	Examine(ctx context.Context) (store.Condition, error)
}

func (d *doctor) checkConfiguration() {
	const what = "configuration"
	err := d.flags.check()
	if err == nil {
		d.report.fine(what, "The flags and the environment make sense.")
		return
	}
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		todo := ""
		if i == len(lines)-1 {
			todo = "belfry serve --help tells what each flag is."
		}
		d.report.wrong(what, line+".", todo)
	}
}

// filesFew is when a process runs out of files under load: each send under way,
// each connection of the API and the database needs one.
const filesFew = 4096

func (d *doctor) checkFiles() {
	switch files := openFilesMax(); {
	case files == 0:
	case files < filesFew:
		d.report.notable("open files", fmt.Sprintf("The process may have %d files open, connections among them.", files),
			"Allow at least 65536: ulimit -n in a shell, LimitNOFILE= for systemd, --ulimit nofile= for Docker.")
	default:
		d.report.fine("open files", fmt.Sprintf("The process may have %d.", files))
	}
}

// mark says how serious a line is.
type mark uint8

const (
	markFine mark = iota
	markNotable
	markWrong
)

// Marks for terminals, and in plain ASCII.
var (
	signs = [...]string{markFine: "✓", markNotable: "!", markWrong: "✗"}
	words = [...]string{markFine: "ok  ", markNotable: "look", markWrong: "BAD "}
)

// report writes what was found, a line at a time.
type report struct {
	to     io.Writer
	marks  [3]string
	remedy string // stands before what is to be done
	counts [3]int
}

func newReport(to io.Writer) *report { return reportFor(to, isPlain(to)) }

func reportFor(to io.Writer, plain bool) *report {
	if plain {
		return &report{to: to, marks: words, remedy: " -> "}
	}
	return &report{to: to, marks: signs, remedy: "\n" + strings.Repeat(" ", 2+whatWidth+1) + "→ "}
}

// isPlain tells whether it is not for a terminal that a person looks at.
func isPlain(to io.Writer) bool {
	file, ok := to.(*os.File)
	return !ok || !term.IsTerminal(int(file.Fd())) || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb"
}

func (r *report) fine(what, says string) { r.line(markFine, what, says, "") }

// notable is for what may be meant so.
func (r *report) notable(what, says, todo string) { r.line(markNotable, what, says, todo) }

func (r *report) wrong(what, says, todo string) { r.line(markWrong, what, says, todo) }

const whatWidth = 14 // of the longest name of what is looked at, about

func (r *report) line(m mark, what, says, todo string) {
	r.counts[m]++
	fmt.Fprintf(r.to, "%s %-*s %s", r.marks[m], whatWidth, what, printable(says))
	if todo != "" {
		fmt.Fprint(r.to, r.remedy+printable(todo))
	}
	fmt.Fprintln(r.to)
}

// end sums up. The error is there if something is wrong.
func (r *report) end() error {
	fmt.Fprintln(r.to)
	wrong, notable := r.counts[markWrong], r.counts[markNotable]
	looks := ""
	if notable > 0 {
		looks = fmt.Sprintf(" %s a look.", things(notable, "deserves", "deserve"))
	}
	if wrong == 0 {
		fmt.Fprintln(r.to, "Nothing is wrong."+looks)
		return nil
	}
	fmt.Fprintf(r.to, "%s wrong.%s\n", things(wrong, "is", "are"), looks)
	return errUnwell
}

// errUnwell: the report said what is wrong.
var errUnwell = errors.New("something is wrong; see above")

func things(n int, one, several string) string {
	if n == 1 {
		return "1 thing " + one
	}
	return fmt.Sprintf("%d things %s", n, several)
}

// checkListener tells how the API is served.
func (d *doctor) checkListener() {
	const what = "listener"
	_, port, err := net.SplitHostPort(d.flags.Listen)
	if err != nil {
		return // the configuration's check has said so
	}
	switch {
	case d.flags.TLSCert != "":
		pair := &keyPair{certFile: d.flags.TLSCert, keyFile: d.flags.TLSKey}
		if pair.load() != nil {
			return // and so it has here
		}
		d.checkEnd(what, "The certificate of "+d.flags.TLSCert, pair.current.Leaf.NotAfter, ownLeft, "Renew it: the file is read again by itself.")
	case len(d.flags.ACMEDomains) > 0:
		d.checkACME()
	case isLoopback(d.flags.Listen):
		d.report.fine(what, "It speaks plain HTTP on "+d.flags.Listen+", which only this machine reaches.")
	default:
		d.report.fine(what, "It speaks plain HTTP on "+d.flags.Listen+": keep a proxy that speaks TLS in front, or give --tls-cert or --acme-domains.")
	}
	if port == "0" {
		d.report.notable(what, "Port 0 is another port at every start.", "Give one that others can know, as in --listen 127.0.0.1:8080.")
	}
}

// How long before their end certificates deserve a look.
const (
	ownLeft  = 14 * 24 * time.Hour
	apnsLeft = 30 * 24 * time.Hour
)

// checkEnd tells until when a certificate is good.
func (d *doctor) checkEnd(what, name string, end time.Time, warn time.Duration, todo string) {
	left := end.Sub(d.now())
	date := end.UTC().Format(time.DateOnly)
	switch {
	case left <= 0:
		d.report.wrong(what, name+" ended on "+date+".", todo)
	case left < warn:
		d.report.notable(what, fmt.Sprintf("%s ends on %s, in %s.", name, date, days(left)), todo)
	default:
		d.report.fine(what, name+" is good until "+date+".")
	}
}

func days(d time.Duration) string {
	switch n := int(d.Hours() / 24); n {
	case 0:
		return "less than a day"
	case 1:
		return "1 day"
	default:
		return fmt.Sprintf("%d days", n)
	}
}
