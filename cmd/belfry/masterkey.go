package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/belfryhq/belfry/store"
	"github.com/belfryhq/belfry/store/sealed"
)

// masterKeyFile is where the master key is unless it is given.
func (f *serveFlags) masterKeyFile() string { return f.DataDir + "/master.key" }

// findMasterKey gives the key that was given, or else that of the file, if the
// secrets in the database can be read with it. It finds none, and has no error,
// if there is no file and no secret was encrypted yet.
func (f *serveFlags) findMasterKey(ctx context.Context, db store.Store) (key sealed.Key, found bool, err error) {
	name := "--master-key (BELFRY_MASTER_KEY)"
	if f.MasterKey != "" {
		key, err = sealed.ParseKey(f.MasterKey)
	} else {
		name = f.masterKeyFile()
		key, err = sealed.ReadKeyFile(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		name += " is missing"
	} else if err != nil {
		return sealed.Key{}, false, err
	} else {
		found = true
	}
	if err := readSecrets(ctx, sealed.New(db, key)); errors.Is(err, sealed.ErrWrongKey) { // without a file, any key tells
		return sealed.Key{}, false, fmt.Errorf("%s: %w", name, err)
	}
	return key, found, nil
}

// makeMasterKey makes the file, and says so.
func (f *serveFlags) makeMasterKey(to io.Writer) (sealed.Key, error) {
	key, created, err := sealed.OpenKeyFile(f.masterKeyFile())
	if created {
		fmt.Fprintf(to, "  Master key  %s  Secrets in the database are encrypted with it: keep a copy.\n", f.masterKeyFile())
	}
	return key, err
}

// readSecrets reads every secret there is. It fails otherwise too: a database
// that was never used has no tables.
func readSecrets(ctx context.Context, db store.Store) error {
	apps, err := db.ListApps(ctx)
	if err != nil {
		return err
	}
	for _, app := range apps {
		if _, err := db.ListVAPIDKeys(ctx, app.Name); err != nil {
			return err
		}
		if _, err := db.ListCredentials(ctx, app.Name); err != nil {
			return err
		}
	}
	return nil
}
