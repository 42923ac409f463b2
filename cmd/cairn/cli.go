package main

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/cairnlog/cairn/client"
	"github.com/cairnlog/cairn/entry"
)

// Globals are what all verbs have in common: where they read and write, and
// the flags of those that speak to a log.
type Globals struct {
	Server         string        `name:"rekor_server" aliases:"server" group:"client" env:"CAIRN_SERVER,REKOR_REKOR_SERVER" default:"http://127.0.0.1:3000" placeholder:"URL" help:"Log to speak to; --server is the same (${default})."`
	LogKey         string        `name:"log-key" group:"client" env:"CAIRN_LOG_KEY" placeholder:"FILE" help:"The log's public key in PEM. Without it the key that was trusted at first use counts."`
	LogKeyPEM      string        `name:"rekor_server_public_key" group:"client" env:"REKOR_REKOR_SERVER_PUBLIC_KEY" hidden:"" help:"The log's public key as PEM text."`
	State          string        `name:"state" group:"client" env:"CAIRN_STATE" placeholder:"FILE" help:"Where the keys and newest checkpoints of logs are remembered (cairn/state.json in the user's configuration directory)."`
	StoreTreeState bool          `name:"store_tree_state" group:"client" env:"CAIRN_STORE_TREE_STATE,REKOR_STORE_TREE_STATE" default:"true" help:"Remember key and checkpoint for the next run; with =false they are compared but not kept."`
	Config         string        `name:"config" group:"client" placeholder:"FILE" help:"File with values for flags of these verbs, in YAML (.rekor.yaml in the home directory)."`
	Format         string        `name:"format" short:"o" group:"client" env:"CAIRN_FORMAT,REKOR_FORMAT" enum:"default,json,tle" default:"default" placeholder:"FORMAT" help:"Output: ${enum}; tle for get only."`
	Timeout        time.Duration `name:"timeout" group:"client" env:"CAIRN_TIMEOUT,REKOR_TIMEOUT" default:"30s" placeholder:"TIME" help:"Limit for a request with all its retries (${default})."`
	Retry          uint          `name:"retry" group:"client" env:"CAIRN_RETRY,REKOR_RETRY" default:"3" placeholder:"N" help:"How often to try again after trouble with network or server (${default})."`

	RekorCLI bool `kong:"-"` // called by the name of rekor-cli, whose output scripts read

	Context context.Context `kong:"-"` // ends at an interrupt
	Stdin   io.Reader       `kong:"-"`
	Stdout  io.Writer       `kong:"-"`
	Stderr  io.Writer       `kong:"-"`
}

// exitHelp is the part of --help about exit codes.
const exitHelp = "Exit codes: 0 done, 1 verification failed, 2 usage, 3 server or network (try again later), 4 not found, 5 refused."

const (
	exitUnverified = 1
	exitUsage      = 2
	exitTrouble    = 3
	exitNotFound   = 4
	exitRefused    = 5
	exitInterrupt  = 130
)

// An ExitError is an error that knows its exit code.
type ExitError struct {
	Code int
	Err  error
}

func (e *ExitError) Error() string { return e.Err.Error() }
func (e *ExitError) Unwrap() error { return e.Err }

// usage returns an error about how the program was called.
func usage(format string, a ...any) error {
	return &ExitError{exitUsage, fmt.Errorf(format, a...)}
}

// exitCode returns what the process exits with after err.
func exitCode(err error) int {
	var (
		exit    *ExitError
		alarm   *client.AlarmError
		verify  *client.VerifyError
		state   *client.StateError
		refused *entry.Error
		status  *client.StatusError
		network *client.NetworkError
	)
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.Code
	case errors.As(err, &alarm), errors.As(err, &verify), errors.As(err, &state), errors.Is(err, client.ErrNoKey):
		return exitUnverified
	case errors.As(err, &refused):
		switch refused.Reason {
		case entry.Invalid, entry.NotInsertable:
			return exitUnverified
		case entry.NotAllowed, entry.TooLarge:
			return exitRefused
		}
		return exitUsage
	case errors.Is(err, context.Canceled):
		return exitInterrupt
	case errors.Is(err, client.ErrNotFound):
		return exitNotFound
	case errors.As(err, &status):
		if status.Retryable() {
			return exitTrouble
		}
		return exitRefused
	case errors.As(err, &network), errors.Is(err, context.DeadlineExceeded):
		return exitTrouble
	}
	return exitUnverified
}

// report tells the user about err, if it is not nil, and returns the exit code.
func (g *Globals) report(err error) int {
	code := exitCode(err)
	if err == nil || errors.Is(err, errTold) {
		return code
	}
	var alarm *client.AlarmError
	if errors.As(err, &alarm) {
		g.raise(alarm)
		return code
	}
	fmt.Fprintf(g.Stderr, "cairn: %s\n", client.Printable(err.Error(), "\n\t"))
	return code
}

// errTold is in the chain of an error that the user was told about already.
var errTold = errors.New("told")

// raise shows an alarm with its evidence and keeps that in a file.
func (g *Globals) raise(a *client.AlarmError) {
	w := g.Stderr
	fmt.Fprintf(w, "\nALARM: %s\n\n", client.Printable(a.Error(), ""))
	fmt.Fprintf(w, "Two checkpoints cannot both be true. Do not trust this log until it is explained.\n")
	fmt.Fprintf(w, "\nseen before:\n%s\nseen now:\n%s\n", indent(a.Before.Checkpoint), indent(a.Now))
	if path, err := g.statePath(); err == nil {
		if kept, err := client.NewStateFile(path).Keep(a); err == nil {
			fmt.Fprintf(w, "evidence: %s\n", kept)
			fmt.Fprintf(w, "To start anew with this log, having found out why, remove it from %s\n", path)
			return
		}
	}
	fmt.Fprintf(w, "The evidence could not be kept in a file: keep the text above.\n")
}

func indent(note []byte) string {
	s := strings.TrimRight(client.Printable(string(note), "\n"), "\n")
	return "    " + strings.ReplaceAll(s, "\n", "\n    ") + "\n"
}

// json tells whether results are to be printed as JSON, and refuses formats
// that only get has.
func (g *Globals) json() (bool, error) {
	if g.Format == "tle" {
		return false, usage("--format tle is for get only")
	}
	return g.Format == "json", nil
}

// printJSON writes v in one line.
func (g *Globals) printJSON(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if people(g.Stdout) {
		line = escapeJSON(line)
	}
	_, err = g.Stdout.Write(append(line, '\n'))
	return err
}

// people tells whether w is a terminal, so that people read it at once.
func people(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (g *Globals) warn(format string, a ...any) {
	fmt.Fprintf(g.Stderr, "cairn: "+format+"\n", a...)
}

func (g *Globals) statePath() (string, error) {
	if g.State != "" {
		return g.State, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "cairn", "state.json"), nil
}

// withLog calls f with a client of the log that the flags name, and keeps what
// it has seen.
func (g *Globals) withLog(f func(context.Context, *client.Client) error) error {
	c, err := g.log()
	if err != nil {
		return err
	}
	err = f(g.Context, c)
	if cerr := c.Close(context.WithoutCancel(g.Context)); err == nil {
		err = cerr
	}
	return err
}

func (g *Globals) log() (*client.Client, error) {
	key, err := g.logKey()
	if err != nil {
		return nil, err
	}
	path, pathErr := g.statePath()
	o := client.Options{
		URL:       g.Server,
		Key:       key,
		UserAgent: userAgent(),
		Timeout:   g.Timeout,
		Retries:   int(min(g.Retry, 100)),
		Trust: func(f client.Offer) error {
			g.warn("the key of %s was not known; trusting on first use what the log itself says:", f.URL)
			g.warn("  SHA-256 %x", f.KeyID)
			g.warn("  make sure it is the right one, or name a key you trust with --log-key")
			return nil
		},
	}
	// The name under which the log is remembered is the client's own form of the URL.
	plain, err := client.New(o)
	if err != nil {
		return nil, usage("%w", err)
	}
	if pathErr != nil {
		g.warn("nothing is remembered for the next run (%v); say where with --state", pathErr)
		return plain, nil
	}
	s := client.NewStateFile(path).Log(plain.URL())
	if !g.StoreTreeState {
		s = client.ReadOnly(s)
	}
	o.State = &tolerant{s, g}
	return client.New(o)
}

func (g *Globals) logKey() (crypto.PublicKey, error) {
	switch {
	case g.LogKey != "":
		text, err := readFile(g.LogKey, maxKey)
		if err != nil {
			return nil, usage("--log-key: %w", err)
		}
		key, err := client.ParseKey(text)
		if err != nil {
			return nil, usage("--log-key %s: %w", g.LogKey, err)
		}
		return key, nil
	case g.LogKeyPEM != "":
		key, err := client.ParseKey([]byte(g.LogKeyPEM))
		if err != nil {
			return nil, usage("REKOR_REKOR_SERVER_PUBLIC_KEY: %w", err)
		}
		return key, nil
	}
	return nil, nil
}

// A tolerant State warns when it cannot keep something: what was verified in
// this run is verified all the same.
type tolerant struct {
	client.State
	g *Globals
}

func (t *tolerant) Store(ctx context.Context, old, new client.Known) (bool, error) {
	ok, err := t.State.Store(ctx, old, new)
	if err != nil {
		t.g.warn("the newest checkpoint cannot be kept, the next run will not be compared with it: %v", err)
		return true, nil
	}
	return ok, nil
}

func userAgent() string {
	return fmt.Sprintf("cairn/%s (%s; %s)", build().Version, runtime.GOOS, runtime.GOARCH)
}
