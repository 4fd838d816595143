package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
	"github.com/belfryhq/belfry/store/postgres"
	"github.com/belfryhq/belfry/store/sealed"
	"github.com/belfryhq/belfry/store/sqlite"
)

const (
	databaseWait = 10 * time.Second // for the database to answer a question
	roomLittle   = 1 << 30          // bytes on the disk that deserve a look
	roomNone     = 64 << 20         // and with which little more can be accepted
	longAgo      = time.Hour        // for something that can be sent to wait
)

// checkDirectory looks at where the SQLite database and the master key are, if
// anything is.
func (d *doctor) checkDirectory() {
	const what = "data directory"
	path := d.flags.DataDir
	if d.flags.DatabaseURL != "" && d.flags.MasterKey != "" && len(d.flags.ACMEDomains) == 0 {
		return
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.checkParent(what, path)
		return
	case err != nil:
		d.report.wrong(what, sentence(err), "Make it readable for the user that runs Belfry, or give another with --data-dir (BELFRY_DATA_DIR).")
		return
	case !info.IsDir():
		d.report.wrong(what, path+" is not a directory.", "Give one with --data-dir (BELFRY_DATA_DIR).")
		return
	case !mayWrite(path):
		d.report.wrong(what, fmt.Sprintf("%s cannot be written by this user (uid %d).", path, os.Getuid()), fmt.Sprintf("chown -R it to the user that runs Belfry, and run this as that user: chown -R %d %s", os.Getuid(), path))
		return
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		d.report.notable(what, fmt.Sprintf("%s is open to other users (mode %04o).", path, mode), "chmod 700 "+path)
	} else {
		d.report.fine(what, path+" can be written, by this user alone.")
	}
	d.checkRoom(path)
}

// checkParent tells whether a directory that is not there can be made.
func (d *doctor) checkParent(what, path string) {
	parent := filepath.Dir(filepath.Clean(path))
	for {
		if _, err := os.Stat(parent); err == nil || parent == filepath.Dir(parent) {
			break
		}
		parent = filepath.Dir(parent)
	}
	if !mayWrite(parent) {
		d.report.wrong(what, fmt.Sprintf("%s is not there, and this user (uid %d) may not make it in %s.", path, os.Getuid(), parent), fmt.Sprintf("As root: install -d -m 700 -o %d %s", os.Getuid(), path))
		return
	}
	d.report.notable(what, path+" is not there yet.", "belfry serve makes it, and what belongs in it. If there should be one, correct --data-dir (BELFRY_DATA_DIR).")
	d.fresh = d.flags.DatabaseURL == ""
}

func (d *doctor) checkRoom(path string) {
	const what = "disk"
	room, known := roomOn(path)
	left := humanize.IBytes(room) + " are free for " + path + "."
	switch {
	case !known:
	case room < roomNone:
		d.report.wrong(what, left, "Make room: without it nothing is accepted.")
	case room < roomLittle:
		d.report.notable(what, left, "Make room, or keep less: --retention (BELFRY_RETENTION).")
	default:
		d.report.fine(what, left)
	}
}

// openDatabase gives nil if there is none to look at.
func (d *doctor) openDatabase(ctx context.Context) examined {
	const what = "database"
	ctx, cancel := context.WithTimeout(ctx, databaseWait)
	defer cancel()
	if d.flags.DatabaseURL != "" {
		db, err := postgres.OpenReadOnly(ctx, postgres.Config{URL: d.flags.DatabaseURL})
		if err != nil {
			d.report.wrong(what, "PostgreSQL cannot be reached: "+oneLine(err)+".", "Start it, or correct --database-url (BELFRY_DATABASE_URL): host, port, user, password and name.")
			return nil
		}
		return db
	}
	path := filepath.Join(d.flags.DataDir, "belfry.db")
	db, err := sqlite.OpenReadOnly(ctx, sqlite.Config{Path: path})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.report.notable(what, path+" is not there yet.", "belfry serve makes it.")
		return nil
	case err != nil:
		d.report.wrong(what, oneLine(err)+".", "Run this as the user that runs Belfry. If the file is damaged, bring it back from a copy.")
		return nil
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		d.report.notable(what, fmt.Sprintf("%s is open to other users (mode %04o).", path, info.Mode().Perm()), "chmod 600 "+path)
	}
	return db
}

// checkDatabase tells whether the schema is the one that this program can read.
func (d *doctor) checkDatabase(ctx context.Context, db examined) (ready bool) {
	const what = "database"
	ctx, cancel := context.WithTimeout(ctx, databaseWait)
	defer cancel()
	found, err := db.Examine(ctx)
	if err != nil {
		d.report.wrong(what, sentence(err), "Look at the database's own log.")
		return false
	}
	for _, wrong := range found.Wrong {
		d.report.wrong(what, found.Server+".", wrong)
	}
	for _, risky := range found.Risky {
		d.report.notable(what, found.Server+".", risky)
	}
	if len(found.Wrong)+len(found.Risky) == 0 {
		d.report.fine(what, found.Server+" answers.")
	}
	d.checkDatabaseClock(found.Clock)
	ready = d.checkSchema(found)
	if found.Active != "" {
		d.report.fine("active", "There is one: "+found.Active+". Which push hosts it cannot send to now, belfry tree /lanes shows.")
	} else {
		d.report.fine("active", "No process is active on the database now.")
	}
	return ready
}

func (d *doctor) checkSchema(found store.Condition) (ready bool) {
	const what = "schema"
	versions := fmt.Sprintf("It has version %d, and this program knows %d", found.Schema, found.Newest)
	switch {
	case found.Schema > found.Newest:
		d.report.wrong(what, versions+".", "Run the newer program again, or bring back a copy of the database from before it.")
	case found.Schema == 0:
		d.report.notable(what, "There are no tables yet.", "belfry serve makes them.")
	case found.Schema < found.Newest:
		d.report.notable(what, versions+".", "belfry serve, or belfry migrate, brings it up to date; there is no way back, so copy the database first. What is in it can be looked at then.")
	default:
		d.report.fine(what, fmt.Sprintf("It is up to date, version %d.", found.Schema))
		return true
	}
	return false
}

func (d *doctor) checkDatabaseClock(skew time.Duration) {
	const what = "clock"
	says := fmt.Sprintf("The database's clock and this machine's are %s apart.", skew.Abs().Round(time.Second))
	switch {
	case skew.Abs() > skewWrong:
		d.report.wrong(what, says, synchronise)
	case skew.Abs() > skewNotable:
		d.report.notable(what, says, synchronise)
	}
}

// checkBacklog tells what waits.
func (d *doctor) checkBacklog(ctx context.Context, db examined) {
	const what = "backlog"
	ctx, cancel := context.WithTimeout(ctx, databaseWait)
	defer cancel()
	waiting, err := db.CountPending(ctx)
	if err != nil {
		d.report.notable(what, "It could not be counted within "+databaseWait.String()+": there is much, or the database is slow.", "Look at the metrics belfry_backlog and belfry_commit_seconds.")
		return
	}
	if waiting == 0 {
		d.report.fine(what, "Nothing waits to be delivered.")
		return
	}
	says := english.Plural(waiting, "notification is", "notifications are") + " waiting to be delivered, with those that are scheduled or tried again later."
	oldest, known := oldestPending(ctx, db)
	if !known {
		d.report.fine(what, says)
		return
	}
	age := d.now().Sub(oldest)
	says += fmt.Sprintf(" The oldest that can be sent now was accepted %s ago.", age.Round(time.Second))
	if age > longAgo {
		d.report.notable(what, says, "See that a process is active, and with belfry tree /lanes that the lanes are open.")
		return
	}
	d.report.fine(what, says)
}

// oldestPending is when the first of those that can be sent now was accepted.
func oldestPending(ctx context.Context, db store.Store) (at time.Time, known bool) {
	last, err := db.LastID(ctx)
	if err != nil {
		return time.Time{}, false
	}
	first, err := db.ListPending(ctx, push.ShardRange{First: 0, Last: push.Shards - 1}, push.ID{}, last, 1)
	if err != nil || len(first) == 0 {
		return time.Time{}, false
	}
	return first[0].Notification.ID.Time(), true
}

// checkNewKey looks at the master key where there is no database to try it on.
func (d *doctor) checkNewKey() {
	const what = "master key"
	_, name, err := d.flags.readMasterKey()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.report.notable(what, name+" is not there yet.", "belfry serve makes it. If the database was used before, bring back its key from a copy.")
	case err != nil:
		d.report.wrong(what, sentence(err), "")
	default:
		d.report.fine(what, name+" can be read.")
	}
}

// checkSecrets looks at what is encrypted, and gives the push hosts that are
// needed for it.
func (d *doctor) checkSecrets(ctx context.Context, db store.Store) []pushHost {
	const what = "master key"
	ctx, cancel := context.WithTimeout(ctx, databaseWait)
	defer cancel()
	key, err := d.flags.findMasterKey(ctx, db)
	switch {
	case errors.Is(err, sealed.ErrWrongKey):
		d.report.wrong(what, sentence(err), "Bring the key back from a copy. Without it, apps, VAPID keys and credentials have to be made anew.")
		return nil
	case err != nil:
		d.report.wrong(what, sentence(err), "")
		return nil
	case !key.found:
		d.report.notable(what, "There is none yet, and nothing is encrypted.", "belfry serve makes it.")
		return nil
	case key.proven:
		d.report.fine(what, "It opens what is encrypted in the database.")
	default:
		d.report.fine(what, "It can be read. Nothing is encrypted yet.")
	}
	return d.checkApps(ctx, sealed.New(db, key.Key))
}

// checkACME looks at the certificates that were got.
func (d *doctor) checkACME() {
	const what = "listener"
	for _, domain := range d.flags.ACMEDomains {
		pair, err := readACME(filepath.Join(d.flags.DataDir, acmeFolder, domain))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			d.report.notable(what, "There is no certificate for "+domain+" yet.", "It is got at the first connection to https://"+domain+"/, which must reach Belfry on port 443.")
		case err != nil:
			d.report.wrong(what, "The certificate for "+domain+" cannot be read: "+oneLine(err)+".", "Run this as the user that runs Belfry; if the file is damaged, remove it, and another is got.")
		default:
			d.checkEnd(what, "The certificate for "+domain, pair.Leaf.NotAfter, ownLeft, "It should have been renewed 30 days before: see that "+domain+" reaches Belfry on port 443, and what its log says.")
		}
	}
}

// readACME reads a certificate as autocert.DirCache keeps it: the key and the
// certificates in one file.
func readACME(path string) (tls.Certificate, error) {
	both, err := os.ReadFile(path)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(both, both)
}

// sentence makes one of an error. A path that it begins with stays as it is.
func sentence(err error) string {
	text := oneLine(err)
	if first, _, _ := strings.Cut(text, " "); !strings.ContainsAny(first, "/.") {
		text = strings.ToUpper(text[:1]) + text[1:]
	}
	return text + "."
}

// oneLine puts the lines of an error on one, those that say the same once.
func oneLine(err error) string {
	var lines []string
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimRight(strings.TrimSpace(line), "."); line != "" && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, " ")
}
