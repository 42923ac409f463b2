// Package client speaks to a log over the Rekor v1 HTTP API and returns only
// what it has verified.
//
// All trust starts from one public key of the log. It is either given in
// Options, or remembered in a State, or, when neither is there, fetched from
// the log once and shown to Options.Trust. Every checkpoint that the log shows
// afterwards has to be signed by that key and to be consistent with the newest
// one seen before; one that is not is an *AlarmError.
//
// What fails tells its sort by type: *VerifyError and *AlarmError (the log
// said something that does not hold), *StatusError (it refused, or is in
// trouble), *NetworkError (it was not reached or did not answer sensibly).
package client

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/merkle"
)

// ErrNoKey means that there is no key of the log to start from: none was
// given, none is remembered, and Options has no Trust.
var ErrNoKey = errors.New("no public key of the log is known")

// Options say which log to speak to, and what to trust.
type Options struct {
	// URL of the log, http or https, such as "http://127.0.0.1:3000".
	URL string
	// Key of the log, if the caller has it. It overrules one that is remembered.
	Key crypto.PublicKey
	// VKeys are the log's C2SP checkpoints', each as ParseVKey of package
	// checkpoint reads it. UploadV2 needs one; nothing else looks at them.
	VKeys []string
	// Trust is asked, when no key is known, whether to take the one that the
	// log itself offers. An error refuses it. A nil Trust refuses all.
	Trust func(Offer) error
	// State remembers between runs. Nil remembers for this Client only.
	State State
	// HTTP makes the requests; redirects are never followed. Nil is a client
	// of its own with usual settings.
	HTTP *http.Client
	// UserAgent of the requests.
	UserAgent string
	// Timeout bounds each request with all its retries. Zero means no bound
	// but the context's.
	Timeout time.Duration
	// Retries is how often a request is sent again after trouble with the
	// network, a 5xx, 408 or 429.
	Retries int
}

// An Offer is a key that a log says is its own. Nothing vouches for it.
type Offer struct {
	URL   string
	Key   crypto.PublicKey
	KeyID [32]byte // SHA-256 of the PKIX DER, the log id
}

// A Client speaks to one log. It may be used concurrently. Close keeps what it
// has seen in the State.
type Client struct {
	o    Options
	base *url.URL
	name string // of the log in State and messages: the URL in its plain form
	http *http.Client

	mu     sync.Mutex // held while one checkpoint is compared with those before
	loaded bool
	key    crypto.PublicKey
	keyDER []byte // PKIX
	keyID  [32]byte
	known  Known                 // newest verified
	kept   Known                 // what State has, as far as it is known here
	tree   checkpoint.Checkpoint // of known, if known has one
	start  int64                 // size of the tree that State had at first
	seen   map[int64]sighting    // by size: checkpoints that are consistent with tree
	saved  time.Time
}

// A sighting is a checkpoint that was verified in this run.
type sighting struct {
	root merkle.Hash
	note []byte
}

// New returns a Client. It makes no request.
func New(o Options) (*Client, error) {
	base, err := url.Parse(o.URL)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return nil, fmt.Errorf("%q is not an http or https URL of a log", o.URL)
	}
	if base.RawQuery != "" || base.Fragment != "" {
		return nil, fmt.Errorf("URL of a log %q has a query or a fragment", o.URL)
	}
	base.Path = strings.TrimRight(base.Path, "/")
	base.RawPath = ""
	hc := http.Client{}
	if o.HTTP != nil {
		hc = *o.HTTP
	} else {
		hc.Transport = &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			ForceAttemptHTTP2:   true,
			MaxIdleConnsPerHost: 64,
			IdleConnTimeout:     time.Minute,
			TLSHandshakeTimeout: 10 * time.Second,
		}
	}
	// The API has no redirects. To follow one would send entries, and the
	// trust in a key, to somebody the user has not named.
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if o.State == nil {
		o.State = new(Memory)
	}
	if o.UserAgent == "" {
		o.UserAgent = "cairn"
	}
	return &Client{o: o, base: base, name: plainURL(base), http: &hc, seen: map[int64]sighting{}}, nil
}

// URL returns the address of the log in its plain form: lower-case host, no
// password, no final slash.
func (c *Client) URL() string { return c.name }

func plainURL(u *url.URL) string {
	return strings.ToLower(u.Scheme) + "://" + strings.ToLower(u.Host) + u.EscapedPath()
}

// Close keeps the newest checkpoint in the State and closes idle connections.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.http.CloseIdleConnections()
	if !c.loaded {
		return nil
	}
	return c.save(ctx)
}

// Key returns the log's key that this client goes by, getting it the first
// time as the package comment says.
func (c *Client) Key(ctx context.Context) (crypto.PublicKey, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.load(ctx); err != nil {
		return nil, err
	}
	return c.key, nil
}

// Remembered returns the newest checkpoint of this log that was verified, now
// or in an earlier run, and whether there is one.
func (c *Client) Remembered(ctx context.Context) (checkpoint.Checkpoint, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.load(ctx); err != nil {
		return checkpoint.Checkpoint{}, false, err
	}
	return c.tree, c.known.Checkpoint != nil, nil
}

// load finds the key and what is remembered, once. The caller holds mu.
func (c *Client) load(ctx context.Context) error {
	if c.loaded {
		return nil
	}
	known, err := c.o.State.Load(ctx)
	if err != nil {
		return &StateError{Err: err}
	}
	key := c.o.Key
	var remembered crypto.PublicKey
	if known.Key != nil {
		if remembered, err = x509.ParsePKIXPublicKey(known.Key); err != nil {
			return &StateError{Err: fmt.Errorf("key of %s: %w", c.name, err)}
		}
	}
	var tree checkpoint.Checkpoint
	if known.Checkpoint != nil {
		if tree, err = checkpoint.Open(known.Checkpoint, "", remembered); err != nil {
			return &StateError{Err: fmt.Errorf("checkpoint of %s: %w", c.name, err)}
		}
	}
	switch {
	case key != nil:
	case remembered != nil:
		key = remembered
	default:
		if c.o.Trust == nil {
			return ErrNoKey
		}
		o, err := c.Offer(ctx)
		if err != nil {
			return err
		}
		if err := c.o.Trust(o); err != nil {
			return err
		}
		key = o.Key
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return fmt.Errorf("log key: %w", err)
	}
	c.key, c.keyDER, c.keyID = key, der, sha256.Sum256(der)
	c.kept, c.known, c.tree = known, known, tree
	if known.Checkpoint == nil || bytes.Equal(known.Key, der) {
		c.known.Key, c.known.Pinned = der, known.Pinned || c.o.Key != nil
	}
	c.start = tree.Tree.Size
	c.loaded = true
	return nil
}

// Offer fetches the key that the log says is its own. Nothing vouches for it.
func (c *Client) Offer(ctx context.Context) (Offer, error) {
	body, err := c.get(ctx, "/api/v1/log/publicKey", nil, "application/x-pem-file")
	if err != nil {
		return Offer{}, err
	}
	key, err := ParseKey(body)
	if err != nil {
		return Offer{}, &VerifyError{What: "public key of the log", Err: err}
	}
	id, err := checkpoint.KeyID(key)
	if err != nil {
		return Offer{}, &VerifyError{What: "public key of the log", Err: err}
	}
	return Offer{URL: c.name, Key: key, KeyID: id}, nil
}

// ParseKey reads the public key of a log: one PEM block "PUBLIC KEY".
func ParseKey(text []byte) (crypto.PublicKey, error) {
	block, rest := pem.Decode(text)
	switch {
	case block == nil:
		return nil, errors.New("parse log key: no PEM block")
	case strings.Contains(block.Type, "PRIVATE"):
		return nil, errors.New("parse log key: this is a private key; the log's public key is due")
	case block.Type != "PUBLIC KEY":
		return nil, fmt.Errorf("parse log key: PEM block is %q, not \"PUBLIC KEY\"", block.Type)
	case strings.TrimSpace(string(rest)) != "":
		return nil, errors.New("parse log key: text after the PEM block")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse log key: %w", err)
	}
	return key, nil
}

// logID returns the log id that entries of this log carry. The client is loaded.
func (c *Client) logID() string { return hex.EncodeToString(c.keyID[:]) }
