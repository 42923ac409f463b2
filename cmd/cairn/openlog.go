package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/cairnlog/cairn/api/v1"
	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/sign"
	"github.com/cairnlog/cairn/storage"
)

// logFlags say which log is meant. They are shared by serve and init.
type logFlags struct {
	Data              string   `default:"./cairn-data" env:"CAIRN_DATA" type:"path" placeholder:"DIR" help:"Directory of the key and, by default, of the database (${default})."`
	Storage           string   `env:"CAIRN_STORAGE" placeholder:"URL" help:"Database: postgres://… or sqlite:PATH. Default: cairn.db in the data directory."`
	Key               string   `env:"CAIRN_KEY" type:"path" placeholder:"FILE" help:"The log's private key in PEM. Default: key.pem in the data directory, made with the log."`
	CheckpointKey     []string `env:"CAIRN_CHECKPOINT_KEY" type:"path" placeholder:"FILE" help:"Private key in PEM that signs C2SP checkpoints, Ed25519, ECDSA or ML-DSA-44; may be repeated, the first makes the first line. Default: checkpoint-key.pem in the data directory, made from the log's key."`
	NewCheckpointKeys bool     `name:"new-checkpoint-keys" env:"CAIRN_NEW_CHECKPOINT_KEYS" help:"Start although clients know none of the checkpoint keys any more, because the old ones are lost or stolen."`
	Origin            string   `default:"localhost" env:"CAIRN_ORIGIN" placeholder:"NAME" help:"Name of the log in its checkpoints, by custom its host name (${default})."`
	TreeID            int64    `name:"tree-id" env:"CAIRN_TREE_ID" placeholder:"N" help:"Tree id of the log. Default: that of the log that is there; a random one for a new log."`
}

// A home is a log with the places where it lives: what serve starts on.
type home struct {
	data            string // directory
	storage         string // URL
	keyPath         string
	key             crypto.Signer
	identity        log.Identity
	signer          *v1.Signer
	checkpointPaths []string
	author          *checkpoint.Author // by the keys there
	store           log.Store
	created         bool
}

// A memo is what the data directory remembers of its log, in log.json. It is
// written after the log was created, so that a directory with a memo never
// starts a second log with the same key: that would be a fork.
type memo struct {
	Origin string `json:"origin"`
	TreeID int64  `json:"treeID,string"`
	KeyID  string `json:"keyID"` // hex
}

func memoOf(id log.Identity) memo {
	return memo{Origin: id.Origin, TreeID: id.TreeID, KeyID: hex.EncodeToString(id.KeyID[:])}
}

// A refusal is an answer to the operator: what was asked cannot be done, and why.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

func refuse(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }

// Ways to open a home.
type opening int

const (
	openOnly     opening = iota // refuse if there is no log
	openOrCreate                // create it if there is none
	createOnly                  // refuse if there is one
)

// open finds or creates the log that the flags mean. Its steps are in such an
// order that it can be cut off after each and done again: the key appears
// whole, then the log, then the memo.
func (f *logFlags) open(ctx context.Context, how opening) (_ *home, err error) {
	h := &home{data: f.Data, storage: f.Storage, keyPath: f.Key}
	if h.storage == "" {
		h.storage = "sqlite:" + filepath.Join(h.data, "cairn.db")
	}
	if h.keyPath == "" {
		h.keyPath = filepath.Join(h.data, "key.pem")
	}
	if !checkpoint.ValidName(f.Origin) {
		return nil, refuse("the origin %q is empty or has white space, control characters or a plus sign; choose another with --origin", f.Origin)
	}
	if f.TreeID < 0 {
		return nil, refuse("the tree id %d is not positive; choose another with --tree-id", f.TreeID)
	}

	// 1. The directory and what it remembers.
	if err := makeDir(h.data); err != nil {
		return nil, fmt.Errorf("create data directory: %w", err)
	}
	remembered, err := readMemo(h.memoPath())
	if err != nil {
		return nil, err
	}
	if !h.lasting() {
		remembered = nil // such a log is a new one at each start
	}

	// 2. The key, if there is one.
	h.key, err = sign.LoadKey(h.keyPath)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &refusal{err.Error()}
	}
	if h.key == nil && f.Key != "" {
		return nil, refuse("there is no key at %s; leave --key out to have one made in the data directory", f.Key)
	}
	if len(f.CheckpointKey) > 0 {
		if err := h.loadCheckpointKeys(f.Origin, f.CheckpointKey); err != nil {
			return nil, err
		}
	}
	want := log.Identity{Origin: f.Origin, TreeID: f.TreeID}
	if h.key != nil {
		if want.KeyID, err = checkpoint.KeyID(h.key.Public()); err != nil {
			return nil, err
		}
	}
	if remembered != nil {
		if d := differences(*remembered, want, h.key != nil); d != "" {
			return nil, refuse("the data directory %s belongs to another log: %s", h.data, d)
		}
		want.TreeID = remembered.TreeID
	}

	// 3. The store and the log in it.
	h.store, err = storage.Open(ctx, h.storage)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", redact(h.storage), err)
	}
	defer func() {
		if err != nil {
			h.store.Close()
		}
	}()
	head, err := h.store.Head(ctx)
	switch {
	case err == nil && how == createOnly:
		return nil, refuse("%s already holds a log, %q with tree id %d; nothing was changed",
			redact(h.storage), head.Identity.Origin, head.Identity.TreeID)
	case errors.Is(err, log.ErrNoLog):
		if remembered != nil {
			return nil, refuse("%s holds no log, but the data directory %s belongs to log %q with tree id %d: "+
				"bring its database back, or start a new log in another data directory",
				redact(h.storage), h.data, remembered.Origin, remembered.TreeID)
		}
		if how == openOnly {
			return nil, refuse("%s holds no log; create one with cairn init, or start with --create", redact(h.storage))
		}
		head.Identity, err = h.create(ctx, want)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", redact(h.storage), err)
	}

	// 4. Is it the one that is meant?
	if h.key == nil { // another process may have made it by now
		h.key, err = sign.LoadKey(h.keyPath)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, &refusal{err.Error()}
		}
	}
	if h.key == nil {
		return nil, refuse("there is no key at %s, but %s holds log %q with tree id %d and key %x: "+
			"copy its private key there, or name it with --key",
			h.keyPath, redact(h.storage), head.Identity.Origin, head.Identity.TreeID, head.Identity.KeyID)
	}
	if want.KeyID, err = checkpoint.KeyID(h.key.Public()); err != nil {
		return nil, err
	}
	if d := differences(memoOf(head.Identity), want, true); d != "" {
		return nil, refuse("%s holds another log: %s", redact(h.storage), d)
	}
	h.identity = head.Identity
	if h.signer, err = v1.NewSigner(h.key, h.identity.Origin, h.identity.TreeID); err != nil {
		return nil, err
	}
	if err := h.checkpointKeys(ctx, f.NewCheckpointKeys); err != nil {
		return nil, err
	}
	if h.lasting() && remembered == nil {
		if err := writeMemo(h.memoPath(), memoOf(h.identity)); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// create makes the key, if there is none, and the log. If another process was
// faster it returns the identity of the log which that one made.
func (h *home) create(ctx context.Context, id log.Identity) (log.Identity, error) {
	var err error
	if h.key == nil {
		h.key, err = sign.CreateKey(h.keyPath)
		if errors.Is(err, fs.ErrExist) {
			h.key, err = sign.LoadKey(h.keyPath)
		}
		if err != nil {
			return id, err
		}
	}
	if id.KeyID, err = checkpoint.KeyID(h.key.Public()); err != nil {
		return id, err
	}
	if id.TreeID == 0 {
		id.TreeID = randomTreeID()
	}
	signer, err := v1.NewSigner(h.key, id.Origin, id.TreeID)
	if err != nil {
		return id, err
	}
	err = log.Create(ctx, h.store, id, signer, time.Now())
	if errors.Is(err, log.ErrExists) {
		head, err := h.store.Head(ctx)
		return head.Identity, err
	}
	h.created = err == nil
	return id, err
}

// differences says in what the log that is there differs from the one that is
// meant, with both values, or "". A tree id of 0 means any.
func differences(have memo, want log.Identity, haveKey bool) string {
	var d []string
	if have.Origin != want.Origin {
		d = append(d, fmt.Sprintf("its origin is %q, not %q (--origin)", have.Origin, want.Origin))
	}
	if want.TreeID != 0 && have.TreeID != want.TreeID {
		d = append(d, fmt.Sprintf("its tree id is %d, not %d", have.TreeID, want.TreeID))
	}
	if key := hex.EncodeToString(want.KeyID[:]); haveKey && have.KeyID != key {
		d = append(d, fmt.Sprintf("its key is %s, not %s", have.KeyID, key))
	}
	return strings.Join(d, "; ")
}

// randomTreeID returns a positive number.
func randomTreeID() int64 {
	var b [8]byte
	for {
		rand.Read(b[:])
		if id := int64(binary.BigEndian.Uint64(b[:]) >> 1); id != 0 {
			return id
		}
	}
}

// lasting says that the log is there after the process.
func (h *home) lasting() bool { return h.storage != "memory:" }

func (h *home) memoPath() string { return filepath.Join(h.data, "log.json") }

// readMemo returns nil if there is none.
func readMemo(path string) (*memo, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the data directory's log: %w", err)
	}
	var m memo
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("read the data directory's log from %s: %w", path, err)
	}
	return &m, nil
}

func writeMemo(path string, m memo) error {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := writeFile(path, append(b, '\n')); err != nil {
		return fmt.Errorf("remember the log: %w", err)
	}
	return nil
}

// makeDir makes a directory that is durable. One that is there is left alone:
// its parent may be closed to us.
func makeDir(dir string) error {
	if fi, err := os.Stat(dir); err == nil && fi.IsDir() {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// redact hides the password of a database URL.
func redact(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		scheme, _, _ := strings.Cut(s, ":")
		return scheme + ":…"
	}
	q := u.Query()
	for _, secret := range []string{"password", "sslpassword"} {
		if q.Has(secret) {
			q.Set(secret, "xxxxx")
			u.RawQuery = q.Encode()
		}
	}
	return u.Redacted()
}

// describe prints where the log is and its public key.
func (h *home) describe(w io.Writer, more ...[2]string) error {
	text, err := sign.PublicPEM(h.key.Public())
	if err != nil {
		return err
	}
	rows := append([][2]string{
		{"log", checkpoint.V1Origin(h.identity.Origin, h.identity.TreeID)},
		{"log id", hex.EncodeToString(h.identity.KeyID[:])},
		{"data", h.data},
		{"storage", redact(h.storage)},
		{"key", h.keyPath},
	}, more...)
	for _, k := range h.author.VKeys() {
		rows = append(rows, [2]string{"vkey", k})
	}
	for _, r := range rows {
		if _, err := fmt.Fprintf(w, "%-8s %s\n", r[0], r[1]); err != nil {
			return err
		}
	}
	_, err = w.Write(text)
	return err
}
