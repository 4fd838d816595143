package main

import (
	"context"
	"fmt"
)

type migrateCommand struct {
	storeFlags `embed:""`
}

// Run brings the schema up to date. serve does so itself; this is for those
// who want it done before.
func (c *migrateCommand) Run(ctx context.Context, to streams) error {
	db, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	applied, err := db.Migrate(ctx)
	if err != nil {
		return err
	}
	if applied == 0 {
		fmt.Fprintln(to.out, "The schema is up to date.")
	} else {
		fmt.Fprintf(to.out, "Applied %d migrations; the schema is up to date.\n", applied)
	}
	return nil
}
