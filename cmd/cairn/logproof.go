package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/cairnlog/cairn/client"
)

type logproofCmd struct {
	FirstSize int64  `name:"first-size" default:"1" placeholder:"N" help:"Size of the older tree (${default})."`
	LastSize  int64  `name:"last-size" placeholder:"N" help:"Size of the newer tree."`
	TreeID    string `name:"tree-id" placeholder:"ID" help:"Tree to prove, where a log has several (the active one)."`
}

// Help is shown with the flags.
func (c *logproofCmd) Help() string {
	return "Prints the proof that the newer tree continues the older one. It was verified: both\nroots follow from the log's checkpoint."
}

func (c *logproofCmd) Run(g *Globals) error {
	asJSON, err := g.json()
	if err != nil {
		return err
	}
	var treeID int64
	switch {
	case c.LastSize == 0:
		return usage("last-size must be specified")
	case c.FirstSize <= 0:
		return usage("first-size must be > 0")
	case c.LastSize < c.FirstSize:
		return usage("last-size must be >= to first-size")
	}
	if c.TreeID != "" {
		if treeID, err = strconv.ParseInt(c.TreeID, 10, 64); err != nil || treeID <= 0 {
			return usage("--tree-id: %q is not a tree id", c.TreeID)
		}
	}
	return g.withLog(func(ctx context.Context, l *client.Client) error {
		i, err := l.LogInfo(ctx)
		if err != nil {
			return err
		}
		if treeID == 0 {
			treeID = i.TreeID
		}
		older, newer, proof, err := l.Consistency(ctx, treeID, c.FirstSize, c.LastSize)
		if err != nil {
			return err
		}
		hashes := make([]string, len(proof))
		for i, h := range proof {
			hashes[i] = h.String()
		}
		if asJSON {
			return g.printJSON(struct {
				RootHash string
				Hashes   []string
			}{i.Tree.Root.String(), hashes})
		}
		_, err = fmt.Fprintf(g.Stdout, "Current Root Hash: %s\nHashes: [%s]\n", i.Tree.Root, strings.Join(hashes, ","))
		fmt.Fprintf(g.Stderr, "verified: the tree of size %d with root %s continues that of size %d with root %s\n",
			newer.Size, newer.Root, older.Size, older.Root)
		return err
	})
}
