package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"time"

	"github.com/belfryhq/belfry/store"
	"github.com/belfryhq/belfry/store/sealed"
)

// When a standby looks whether its master key is the right one.
const (
	firstLook = time.Second
	nextLook  = 5 * time.Second
)

// errSecretsUnread: the database does not say whether the master key is the
// right one. One that was never used has no tables, one that an older program
// used may have others.
var errSecretsUnread = errors.New("the secrets in the database cannot be read")

// masterKey is what is known of the master key.
type masterKey struct {
	sealed.Key
	found  bool // it was given, or there is a file
	proven bool // a secret could be opened with it
}

// masterKeyFile is where the master key is unless it is given.
func (f *serveFlags) masterKeyFile() string { return f.DataDir + "/master.key" }

// findMasterKey gives the key that was given, or else that of the file, if the
// secrets in the database can be opened with it. It finds none, and has no
// error, if there is no file and no secret was encrypted yet. That the
// database does not tell is errSecretsUnread.
func (f *serveFlags) findMasterKey(ctx context.Context, db store.Store) (masterKey, error) {
	key, name, err := f.readMasterKey()
	if errors.Is(err, fs.ErrNotExist) {
		encrypted := f.tryMasterKey(ctx, db, &key) // any key tells whether there are some
		if !errors.Is(encrypted, sealed.ErrWrongKey) {
			return masterKey{}, encrypted
		}
		key, name, err = f.readMasterKey() // the process that encrypted them may have made it just now
		if errors.Is(err, fs.ErrNotExist) {
			return masterKey{}, fmt.Errorf("%s is missing: %w", name, encrypted)
		}
	}
	if err != nil {
		return masterKey{}, err
	}
	err = f.tryMasterKey(ctx, db, &key)
	if errors.Is(err, sealed.ErrWrongKey) {
		return masterKey{}, fmt.Errorf("%s: %w", name, err)
	}
	return key, err
}

// readMasterKey reads the key, and says by what name people know it. There
// being no file is fs.ErrNotExist.
func (f *serveFlags) readMasterKey() (key masterKey, name string, err error) {
	if f.MasterKey != "" {
		name = "--master-key (BELFRY_MASTER_KEY)"
		key.Key, err = sealed.ParseKey(f.MasterKey)
	} else {
		name = f.masterKeyFile()
		key.Key, err = sealed.ReadKeyFile(name)
	}
	key.found = err == nil
	return key, name, err
}

// tryMasterKey opens the secrets in the database.
func (f *serveFlags) tryMasterKey(ctx context.Context, db store.Store, key *masterKey) error {
	opened, err := sealed.Check(ctx, db, key.Key)
	key.proven = opened > 0 && err == nil
	if err != nil && !errors.Is(err, sealed.ErrWrongKey) {
		return fmt.Errorf("%w: %w", errSecretsUnread, err)
	}
	return err
}

// checkMasterKey says early what is wrong with the key. What the database does
// not tell yet is looked at again by watchMasterKey and ensureMasterKey.
func (f *serveFlags) checkMasterKey(ctx context.Context, db store.Store) error {
	if _, err := f.findMasterKey(ctx, db); !errors.Is(err, errSecretsUnread) {
		return err
	}
	return nil
}

// watchMasterKey waits, at a standby, for the secrets that the active process
// encrypts: a standby whose key is another one, or that has none, must not
// find out when it is needed. It returns when ctx ends or when the key has
// proved the right one; both are no error.
func (f *serveFlags) watchMasterKey(ctx context.Context, db store.Store, log *slog.Logger) error {
	for wait := firstLook; ; wait = nextLook {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		key, err := f.findMasterKey(ctx, db)
		if errors.Is(err, sealed.ErrWrongKey) {
			return err
		}
		if err == nil && key.proven {
			log.Debug("the secrets in the database can be read with the master key")
			return nil
		}
	}
}

// ensureMasterKey is for the active process, on a schema that is up to date.
// It makes the key if none was given or made, and no secret encrypted, and
// with it encrypts the secrets that are older than encryption.
func (f *serveFlags) ensureMasterKey(ctx context.Context, db store.Store, to io.Writer, log *slog.Logger) (sealed.Key, error) {
	key, err := f.findMasterKey(ctx, db)
	if err == nil && !key.found {
		key.Key, err = f.makeMasterKey(to)
	}
	if err != nil {
		return sealed.Key{}, err
	}
	older, err := sealed.SealOlder(ctx, db, key.Key)
	if err != nil {
		return sealed.Key{}, fmt.Errorf("encrypt what is in the database: %w", err)
	}
	if older > 0 {
		log.Info("encrypted the secrets in the database, which were not", "secrets", older)
	}
	return key.Key, nil
}

// makeMasterKey makes the file, and says so.
func (f *serveFlags) makeMasterKey(to io.Writer) (sealed.Key, error) {
	key, created, err := sealed.OpenKeyFile(f.masterKeyFile())
	if created {
		fmt.Fprintf(to, "  Master key  %s  Secrets in the database are encrypted with it: keep a copy.\n", f.masterKeyFile())
	}
	return key, err
}
