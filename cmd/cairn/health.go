package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/cairnlog/cairn/client"
)

// healthTime is longer than the server's own limit on what it asks the database.
const healthTime = 15 * time.Second

// A healthCmd asks a server whether it is ready. It is for container images,
// which have no other program that could.
type healthCmd struct{}

func (c *healthCmd) Run(g *Globals) error {
	ctx, cancel := context.WithTimeout(g.Context, healthTime)
	defer cancel()
	url := strings.TrimRight(g.Server, "/") + "/healthz"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return usage("health: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return &client.NetworkError{Err: err}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return &ExitError{exitTrouble, fmt.Errorf("%s answers %s", url, resp.Status)}
	}
	fmt.Fprintln(g.Stdout, "ok")
	return nil
}
