package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/sign"
)

type keygenCmd struct {
	File   string `arg:"" type:"path" help:"Where to write the private key, in PEM; there must be nothing."`
	Type   string `default:"ed25519" enum:"ed25519,ecdsa,ml-dsa-44" placeholder:"TYPE" help:"Type of the key: ${enum} (${default})."`
	Origin string `default:"localhost" env:"CAIRN_ORIGIN" placeholder:"NAME" help:"Name that goes with the key: the log's, as for serve (${default})."`
}

// Help is shown with the flags.
func (c *keygenCmd) Help() string {
	return `Makes a private key for serve --checkpoint-key and prints the vkey by which
clients know it. A log has such a key without this; see docs/checkpoint-keys.md.`
}

func (c *keygenCmd) Run(g *Globals) error {
	key, err := sign.NewKey(sign.Type(c.Type))
	if err != nil {
		return err
	}
	vkey, err := checkpoint.VKey(c.Origin, key.Public())
	if err != nil {
		return startError(refuse("%v; choose another name with --origin", err))
	}
	if err := sign.WriteKey(c.File, key); errors.Is(err, fs.ErrExist) {
		return startError(refuse("there is a file at %s already; nothing was changed", c.File))
	} else if err != nil {
		return startError(fmt.Errorf("create key: %w", err))
	}
	_, err = fmt.Fprintln(g.Stdout, vkey)
	return err
}
