package main

import (
	"context"
	"io"
)

type initCmd struct {
	logFlags
}

// Help is shown with the flags.
func (c *initCmd) Help() string {
	return `Makes an empty log in the database, and its key unless --key names one. On
Postgres this, or serve --create, is the only way to a new log.`
}

func (c *initCmd) Run(g *Globals) error { return startError(c.create(g.Context, g.Stdout)) }

// create makes a log and prints where it is.
func (c *initCmd) create(ctx context.Context, out io.Writer) error {
	h, err := c.open(ctx, createOnly)
	if err != nil {
		return err
	}
	defer h.store.Close()
	return h.describe(out)
}
