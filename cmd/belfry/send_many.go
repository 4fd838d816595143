package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/belfryhq/belfry/api/client"
)

// manyFlags are for sending to more users than a command line holds.
type manyFlags struct {
	UsersFrom string        `xor:"users,wait" placeholder:"FILE" help:"Send to all users in FILE, one ID a line; - for the standard input."`
	Position  string        `placeholder:"FILE" help:"With --users-from: keep in FILE how far it got, and go on from there."`
	RetryFor  time.Duration `default:"5m" help:"With --users-from: how long to try a batch again while the server is busy or away."`
}

// Help is what send --help says beside its flags.
func (c *sendCommand) Help() string {
	return `With --users-from, any number of users get a notification each. They are read as they are sent, in batches of up to 1,000. Empty lines are skipped, lines that cannot be user IDs are reported, and who is listed twice is notified twice. It succeeds if every user was accepted.

It can be interrupted, and started again. With --position FILE, the same command goes on where it was, at any time, and does nothing once all is sent. Without, no such file is kept: the same command begins at the first line again, and for 24 hours the service recognises the batches that it has accepted and notifies nobody twice. Both need the same input and the same notification: where lines were added or taken out, users may be notified again. To send the same to the same users on purpose within 24 hours, give another --idempotency-key.`
}

// Validate finds flags that make no sense together.
func (c *sendCommand) Validate() error {
	switch {
	case c.UsersFrom == "" && len(c.User) == 0:
		return errors.New("nobody to notify: give --user=ID or --users-from=FILE")
	case c.UsersFrom == "" && c.Position != "":
		return errors.New("--position is for --users-from alone")
	case c.RetryFor < 0:
		return errors.New("--retry-for is negative")
	}
	return nil
}

// sendToMany sends the notification to all users in the file.
func (c *sendCommand) sendToMany(ctx context.Context, service *client.ClientWithResponses, body client.NewNotifications, to streams) error {
	input, size, err := openUsers(c.UsersFrom)
	if err != nil {
		return err
	}
	defer input.Close()
	screen := newScreen(to.err, size)
	context.AfterFunc(ctx, func() { signal.Reset(os.Interrupt, syscall.SIGTERM) }) // a second one is not waited for
	m := mailing{
		server: strings.TrimSuffix(c.Server, "/"), notification: body, salt: c.IdempotencyKey,
		input: input, inputName: c.UsersFrom, positionFile: c.Position,
		office: postOffice{service: service, patience: c.RetryFor, screen: screen},
		screen: screen, out: to.out,
	}
	return m.run(ctx)
}

// openUsers opens the list of users. Its size is 0 if that is not known.
func openUsers(name string) (file *os.File, size int64, err error) {
	file = os.Stdin
	if name != "-" {
		if file, err = os.Open(name); err != nil {
			return nil, 0, fmt.Errorf("--users-from: %w", err)
		}
	}
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	return file, size, nil
}

// mailing is one notification on its way to many users.
type mailing struct {
	server       string
	notification client.NewNotifications
	salt         string // makes a mailing another one though all else is the same
	input        io.Reader
	inputName    string
	positionFile string // empty: none is kept
	office       postOffice
	screen       *screen
	out          io.Writer // for the summary

	position  position
	before    tally // of earlier runs
	repeated  bool  // some were accepted before, and no position told so
	complains complaints
}

// notAllError says that all was done, and who was not notified nevertheless.
type notAllError struct{ tally }

// Error gives the counts.
func (e *notAllError) Error() string {
	var why []string
	if e.Refused > 0 {
		why = append(why, count(e.Refused)+" users were refused")
	}
	if e.Invalid > 0 {
		why = append(why, count(e.Invalid)+" lines cannot be user ids")
	}
	return "not everybody was notified: " + strings.Join(why, ", ")
}

// run sends what is left to send. It returns nil if every user was accepted.
func (m *mailing) run(ctx context.Context) error {
	encoded := encodeNotification(m.notification)
	users := newUserReader(m.input, encoded, digest(encoded, []byte(m.salt)))
	began := time.Now()
	if err := m.resume(ctx, users); err != nil {
		return err
	}
	if m.position.Finished {
		fmt.Fprintf(m.out, "Already sent: %s says so. Nothing was sent now.\n", m.positionFile)
		m.summarise(0)
		return nil
	}
	err := m.sendAll(ctx, users)
	m.screen.clear()
	m.complains.close(m.screen)
	m.summarise(time.Since(began))
	switch {
	case err != nil:
		return m.withAdvice(err)
	case m.position.Refused+m.position.Invalid > 0:
		return &notAllError{m.position.tally}
	}
	return nil
}

// resume takes up where an earlier run was, if there was one.
func (m *mailing) resume(ctx context.Context, users *userReader) error {
	m.position = position{Server: m.server, Notification: users.fingerprint}
	if m.positionFile == "" {
		return nil
	}
	saved, err := loadPosition(m.positionFile)
	if err != nil {
		return err
	}
	if saved == nil || saved.Input.Bytes == 0 && !saved.Finished {
		return m.position.save(m.positionFile) // that it cannot be is better known before anything is sent
	}
	if err := saved.checkBelongsTo(m.position, m.positionFile); err != nil {
		return err
	}
	if err := users.skip(ctx, saved.Input, saved.Finished); err != nil {
		return err
	}
	m.position, m.before = *saved, saved.tally
	if !saved.Finished {
		m.screen.inform("Going on after line %s, where %s says that it was.", count(saved.Input.Line), m.positionFile)
	}
	return nil
}

func (m *mailing) sendAll(ctx context.Context, users *userReader) error {
	reading, stop := context.WithCancel(ctx)
	defer stop()
	m.show()
	for batches := users.batches(reading); ; {
		select {
		case <-ctx.Done():
			return errInterrupted
		case b := <-batches:
			if b.err != nil {
				return fmt.Errorf("read %s: %w", m.inputName, b.err)
			}
			if err := m.send(ctx, b); err != nil || b.last {
				return err
			}
		}
	}
}

// send sends a batch and notes that it is done.
func (m *mailing) send(ctx context.Context, b *batch) error {
	if ctx.Err() != nil {
		return errInterrupted
	}
	m.complainOfLines(b)
	if len(b.users) > 0 {
		results, err := m.office.post(ctx, b)
		if err != nil {
			return err
		}
		if err := m.take(b, results); err != nil {
			return err
		}
	}
	m.position.Invalid += b.invalid
	m.position.Input, m.position.Finished = b.end, b.last
	m.show()
	if m.positionFile == "" {
		return nil
	}
	return m.position.save(m.positionFile)
}

// take counts what became of each user. If none of the first was accepted,
// none of the others would be either.
func (m *mailing) take(b *batch, results []client.BatchResult) error {
	for _, result := range results {
		if result.Id == "" {
			m.position.Refused++
		} else {
			m.position.Accepted++
		}
	}
	if m.position.Accepted == 0 {
		return fmt.Errorf("none of the first %s users was accepted: %s", count(m.position.Refused), reason(results[0].Problem))
	}
	for i, result := range results {
		if result.Id == "" {
			m.complains.refused.say(m.screen, "line %d: %.60q was refused: %s", b.lines[i], b.users[i], reason(result.Problem))
		}
	}
	m.repeated = m.repeated || m.office.repeats(results)
	return nil
}

func (m *mailing) complainOfLines(b *batch) {
	for _, bad := range b.examples {
		m.complains.invalid.say(m.screen, "line %d: %.60q cannot be a user id: 1 to 255 bytes of UTF-8 without control characters", bad.line, bad.text)
	}
	m.complains.invalid.more += b.invalid - int64(len(b.examples))
}

// reason is the problem without the place in the batch.
func reason(p client.Problem) string {
	if _, field, inBatch := strings.Cut(p.Field, "]."); inBatch {
		p.Field = field
	}
	return problemText(&p)
}

// withAdvice says how to go on after it stopped too soon.
func (m *mailing) withAdvice(err error) error {
	at := count(m.position.Input.Line)
	switch {
	case m.position.Input.Line == 0:
		return err
	case m.positionFile != "":
		return fmt.Errorf("%w\nIt got as far as line %s. The same command goes on from there", err, at)
	default:
		return fmt.Errorf("%w\nIt got as far as line %s. The same command, within 24 hours, begins at the first line again and notifies nobody twice. With --position FILE it would go on where it was", err, at)
	}
}

func (m *mailing) show() {
	m.screen.show(progress{bytes: m.position.Input.Bytes, users: m.position.users()})
}
