package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/cairnlog/cairn/client"
)

type loginfoCmd struct{}

// Help is shown with the flags.
func (c *loginfoCmd) Help() string {
	return "Verifies the log's newest checkpoint against its key and against the checkpoint seen\nlast time. A log that has changed its history is an alarm."
}

func (c *loginfoCmd) Run(g *Globals) error {
	asJSON, err := g.json()
	if err != nil {
		return err
	}
	return g.withLog(func(ctx context.Context, l *client.Client) error {
		i, err := l.LogInfo(ctx)
		if err != nil {
			return err
		}
		if i.Older {
			g.warn("the log answered with an older tree than the one of %d entries seen before; it is a proved prefix of that", i.Before.Size)
		}
		treeID := strconv.FormatInt(i.TreeID, 10)
		if asJSON {
			return g.printJSON(struct {
				ActiveTreeSize int64
				TotalTreeSize  int64
				RootHash       string
				TreeID         string
			}{i.Tree.Size, i.TotalSize, i.Tree.Root.String(), treeID})
		}
		if i.First {
			fmt.Fprintln(g.Stderr, "No previous log state stored, unable to prove consistency")
		}
		_, err = fmt.Fprintf(g.Stdout, "Verification Successful!\nActive Tree Size:       %d\nTotal Tree Size:        %d\nRoot Hash:              %s\nTreeID:                 %s\n",
			i.Tree.Size, i.TotalSize, i.Tree.Root, treeID)
		if err == nil && people(g.Stdout) && !i.First && !i.Older {
			_, err = fmt.Fprintf(g.Stdout, "verified: signed by the log, and it continues the tree of %d entries seen before\n", i.Before.Size)
		}
		return err
	})
}
