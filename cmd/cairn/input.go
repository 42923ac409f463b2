package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cairnlog/cairn/pki"
)

const (
	maxKey      = 1 << 20  // a key, certificate chain or signature
	maxArtifact = 64 << 20 // an artifact that is sent along or parsed; a file that is only hashed has no limit
	maxFetch    = 16 << 30 // what is only hashed and comes from a web server
)

// open opens a file, an http(s) URL, or standard input for "-".
func (g *Globals) open(name string) (io.ReadCloser, error) {
	switch {
	case name == "-":
		return io.NopCloser(g.Stdin), nil
	case isURL(name):
		return g.fetch(name)
	}
	return openFile(name)
}

func isURL(s string) bool {
	return strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://")
}

func openFile(name string) (io.ReadCloser, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, &ExitError{exitUsage, err}
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		f.Close()
		return nil, usage("%s is a directory", name)
	}
	return f, nil
}

// fetch gets an artifact, signature or key from a web server: as it is stored
// there, not unpacked, and in the time that a request may take.
func (g *Globals) fetch(address string) (io.ReadCloser, error) {
	limit := time.Duration(math.MaxInt64)
	if g.Timeout > 0 {
		limit = g.Timeout
	}
	ctx, cancel := context.WithTimeout(g.Context, limit)
	fail := func(err error) (io.ReadCloser, error) {
		cancel()
		return nil, &ExitError{exitTrouble, fmt.Errorf("fetch: %w", g.late(err))}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fail(err)
	}
	req.Header.Set("User-Agent", userAgent())
	req.Header.Set("Accept-Encoding", "identity")
	web := http.Client{CheckRedirect: func(to *http.Request, via []*http.Request) error {
		switch {
		case len(via) > maxRedirects:
			return fmt.Errorf("more than %d redirects", maxRedirects)
		case to.URL.Scheme != "https" && via[len(via)-1].URL.Scheme == "https":
			return errors.New("it redirects from https to http")
		}
		return nil
	}}
	res, err := web.Do(req)
	if err != nil {
		return fail(err)
	}
	if res.StatusCode != http.StatusOK {
		res.Body.Close()
		return fail(fmt.Errorf("%s: %s", address, res.Status))
	}
	return &fetched{g: g, body: res.Body, name: address, cancel: cancel}, nil
}

// maxRedirects is how often a web server may send one elsewhere.
const maxRedirects = 5

// late says of what ran out of time how to give it more.
func (g *Globals) late(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: not done after %v, give it more with --timeout", err, g.Timeout)
	}
	return err
}

// A fetched is what a web server sends.
type fetched struct {
	g      *Globals
	body   io.ReadCloser
	name   string
	n      int64
	cancel func()
}

func (f *fetched) Read(b []byte) (int, error) {
	n, err := f.body.Read(b)
	if f.n += int64(n); f.n > maxFetch {
		return 0, tooLong(f.name, maxFetch)
	}
	if err != nil && err != io.EOF {
		err = f.g.late(err)
	}
	return n, err
}

func (f *fetched) Close() error {
	defer f.cancel()
	return f.body.Close()
}

// read returns all of a file, URL or standard input, up to a limit.
func (g *Globals) read(name string, limit int64) ([]byte, error) {
	r, err := g.open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return readAll(r, name, limit)
}

func readFile(name string, limit int64) ([]byte, error) {
	r, err := openFile(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return readAll(r, name, limit)
}

func readAll(r io.Reader, name string, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, readError(name, err)
	}
	if int64(len(b)) > limit {
		return nil, tooLong(name, limit)
	}
	return b, nil
}

func readError(name string, err error) error {
	if errors.As(err, new(*ExitError)) {
		return err
	}
	code := exitUsage
	if isURL(name) {
		code = exitTrouble
	}
	return &ExitError{code, fmt.Errorf("read %s: %w", name, err)}
}

func tooLong(name string, limit int64) error {
	return usage("%s is over %d bytes, the most that can be read of it", name, limit)
}

// A signerKey is a public key or certificate as it was read.
type signerKey struct {
	name   string
	text   []byte
	format string // by its form, "" where that is not plain
}

// publicKey reads a key or certificate, and stops a private key from being
// sent to a public log.
func (g *Globals) publicKey(name string) (signerKey, error) {
	b, err := g.read(name, maxKey)
	if err != nil {
		return signerKey{}, err
	}
	private := func(hint string) (signerKey, error) {
		return signerKey{}, usage("%s is a private key; %s", name, strings.ReplaceAll(hint, "FILE", name))
	}
	switch text := string(b); {
	case strings.Contains(text, "BEGIN PGP PRIVATE KEY"):
		return private("write its public key with\n  gpg --armor --export")
	case strings.Contains(text, "BEGIN OPENSSH PRIVATE KEY"):
		return private("its public key is in FILE.pub, or write it with\n  ssh-keygen -y -f FILE")
	case strings.Contains(text, "PRIVATE KEY-----"):
		return private("make its public key with\n  openssl pkey -in FILE -pubout -out key.pub")
	case strings.HasPrefix(text, "untrusted comment: minisign encrypted secret key"), strings.HasPrefix(text, "untrusted comment: signify secret key"):
		return private("its public key is in a file of its own, by custom with the ending .pub")
	}
	return signerKey{name, b, pki.Format(b)}, nil
}

// signature reads a detached signature: its bytes, or those in base64.
func (g *Globals) signature(name, format string) ([]byte, error) {
	b, err := g.read(name, maxKey)
	if err != nil {
		return nil, err
	}
	if format == "x509" && utf8.Valid(b) {
		if raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(b))); err == nil && len(raw) > 0 {
			return raw, nil
		}
	}
	return b, nil
}

// besides returns the signature that lies beside an artifact, by the name that
// the tools of the format give it.
func besides(artifact, format string) (string, error) {
	if artifact == "-" || isURL(artifact) {
		return "", usage("a detached signature must be provided, with --signature")
	}
	endings := []string{".sig"}
	switch format {
	case "pgp":
		endings = append(endings, ".asc")
	case "minisign":
		endings = append(endings, ".minisig")
	}
	for _, ending := range endings {
		if _, err := os.Stat(artifact + ending); !errors.Is(err, fs.ErrNotExist) {
			return artifact + ending, nil
		}
	}
	return "", usage("a detached signature must be provided: name it with --signature, or put it beside the artifact as %s", artifact+strings.Join(endings, " or "+artifact))
}

// hashShape matches what a digest looks like, with or without its algorithm.
var hashShape = regexp.MustCompile(`^(?:(sha1|sha256|sha384|sha512):)?([0-9a-fA-F]{40}|[0-9a-fA-F]{64}|[0-9a-fA-F]{96}|[0-9a-fA-F]{128})$`)

// parseHash reads "<alg>:<hex>" or hex alone.
func parseHash(s string) (algorithm, digits string, err error) {
	m := hashShape.FindStringSubmatch(s)
	if m == nil {
		return "", "", usage("%q is not a sha1, sha256, sha384 or sha512 hash in hex", s)
	}
	algorithm, digits = m[1], m[2]
	byLength := map[int]string{20: "sha1", 32: "sha256", 48: "sha384", 64: "sha512"}[hex.DecodedLen(len(digits))]
	if algorithm == "" {
		algorithm = byLength
	}
	if algorithm != byLength {
		return "", "", usage("%q has not as many digits as %s has", s, algorithm)
	}
	return algorithm, digits, nil
}
