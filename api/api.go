// Package api serves a log over HTTP: routes, limits, errors. The wire
// formats are in api/v1 and api/v2.
package api

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/rs/cors"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	v2 "github.com/cairnlog/cairn/api/v2"
	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
)

// A Log is the log that is served. Its errors are those of package log.
type Log interface {
	// Identity returns which log this is. It never changes.
	Identity() log.Identity
	// Add puts a leaf into the log and returns when it is integrated. The
	// log may read leaf until then, and after an error for longer.
	Add(ctx context.Context, leaf log.Leaf) (*log.ProvenEntry, error)
	// Head returns the newest head.
	Head(ctx context.Context) (log.Head, error)
	// Entry returns the entry at index, or log.ErrNotFound.
	Entry(ctx context.Context, index int64) (*log.ProvenEntry, error)
	// Lookup returns the entry with that leaf hash, or log.ErrNotFound.
	Lookup(ctx context.Context, leafHash merkle.Hash) (*log.ProvenEntry, error)
	// Attachment returns what is kept beside the entry at index, or log.ErrNotFound.
	Attachment(ctx context.Context, index int64) ([]byte, error)
	// Search returns the entries that a query finds, each once, by ascending index.
	Search(ctx context.Context, q log.Query) ([]log.Hit, error)
	// Consistency returns the proof that the tree of size first is a prefix
	// of the tree of size last, and the newest head. It fails with
	// log.ErrOutOfRange if last is past that head.
	Consistency(ctx context.Context, first, last int64) ([]merkle.Hash, log.Head, error)
	// Published returns the newest tree that is published with its C2SP
	// checkpoint, or log.ErrNoNote if the log has none.
	Published(ctx context.Context) (log.Published, error)
	// EntryIn returns the entry at index with a proof in the tree that the
	// log had at a size.
	EntryIn(ctx context.Context, index, size int64) (*log.ProvenEntry, error)
	// Tile returns the hashes of a tile, or log.ErrNotFound.
	Tile(ctx context.Context, t merkle.Tile) ([]byte, error)
	// EntryBundle returns the first width leaves of bundle n in the form of
	// C2SP, or log.ErrNotFound.
	EntryBundle(ctx context.Context, n int64, width int) ([]byte, error)
	// WaitPublished returns a published tree that has the entry at index, as
	// soon as there is one, with witnesses a cosigned one. It fails with
	// log.ErrWaiting if too many wait.
	WaitPublished(ctx context.Context, index int64) (log.Published, error)
	// Ready returns nil if the log can be read and written now.
	Ready(ctx context.Context) error
}

// A Log may also say that its pool of pending leaves is full, so that an
// upload is refused before its signatures are verified.
type busyLog interface{ Busy() bool }

// Limits of a server for which Options has no value.
const (
	// DefaultMaxBody is the largest body of a request in bytes. A rekord
	// brings its artifact along in base64, so this is about artifacts and
	// SBOMs of up to 24 MB. A small body costs no more because of it: memory
	// grows with what has arrived.
	DefaultMaxBody = 32 << 20

	// DefaultTimeout is how long an operation may take once its request is
	// there. It is less than the write timeout of NewServer, so a client
	// gets an answer and not a cut connection.
	DefaultTimeout = 20 * time.Second
)

// Options say what is served and how.
type Options struct {
	Log           Log
	PublicKey     crypto.PublicKey   // the log's own, the one of Identity's key id
	Author        *checkpoint.Author // of the log's C2SP checkpoints; nil takes no uploads of Rekor v2
	URL           string             // under which clients know the log, for the documents that name it; "" serves none of those
	MaxBody       int64              // of a request in bytes; 0 means DefaultMaxBody
	MaxAttachment int                // as in entry.Options
	Timeout       time.Duration      // of an operation; 0 means DefaultTimeout
	Logger        *zap.Logger        // nil logs nothing
	Metrics       *Metrics           // nil counts for nobody
	OpenAPI       []byte             // the description to serve at /openapi.yaml; nil serves none
	// Policy is by which witnesses cosign the log; nil for none.
	Policy *checkpoint.Policy
	// Witnesses says in a few words how witnesses do, for /healthz; nil if
	// the log has none.
	Witnesses func() string
}

// A server answers requests. It is made by New and does not change.
type server struct {
	log           Log
	busy          func() bool
	treeID        int64
	keyPEM        []byte            // as served
	keyJSON       []byte            // the same as a JSON string
	logID         string            // hex
	keyID         []byte            // the same
	noteKeyID     []byte            // of the key that signs C2SP checkpoints first; nil for none
	witnessed     bool              // checkpoints are cosigned, sooner or later
	documents     map[string][]byte // whom to trust, by the last part of their path
	tileTag       string            // begins the entity tags of tiles
	bundles       *bundles
	requests      *v2.Parser
	maxBody       int64
	maxAttachment int
	timeout       time.Duration
	logger        *zap.Logger
	metrics       *Metrics
	openAPI       []byte
	witnesses     func() string
	memory        *semaphore.Weighted // for what large bodies take, in bytes
	exchanges     sync.Pool           // of *exchange
	handler       http.Handler        // the router with CORS before it
}

// New returns the handler of a log's whole HTTP interface. It fails if
// o.PublicKey is not the key of the log.
func New(o Options) (http.Handler, error) {
	if o.Log == nil {
		return nil, errors.New("serve a log: there is none in the options")
	}
	id := o.Log.Identity()
	keyID, err := checkpoint.KeyID(o.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("serve a log: %w", err)
	}
	if keyID != id.KeyID {
		return nil, fmt.Errorf("serve a log: its key id is %x, that of the public key %x", id.KeyID, keyID)
	}
	der, err := x509.MarshalPKIXPublicKey(o.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("serve a log: %w", err)
	}
	s := &server{
		log:           o.Log,
		busy:          func() bool { return false },
		treeID:        id.TreeID,
		keyPEM:        pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		logID:         hex.EncodeToString(id.KeyID[:]),
		keyID:         id.KeyID[:],
		witnessed:     o.Policy != nil,
		tileTag:       tileTag(id),
		bundles:       newBundles(o.Log),
		maxBody:       o.MaxBody,
		maxAttachment: o.MaxAttachment,
		timeout:       o.Timeout,
		logger:        o.Logger,
		metrics:       o.Metrics,
		openAPI:       o.OpenAPI,
		witnesses:     o.Witnesses,
	}
	if o.Author != nil {
		id := o.Author.KeyID()
		s.noteKeyID = id[:]
	}
	if s.requests, err = v2.NewParser(); err != nil {
		return nil, fmt.Errorf("serve a log: %w", err)
	}
	if s.documents, err = trustDocuments(o, id.Origin); err != nil {
		return nil, fmt.Errorf("serve a log: %w", err)
	}
	if b, ok := o.Log.(busyLog); ok {
		s.busy = b.Busy
	}
	if s.maxBody <= 0 {
		s.maxBody = DefaultMaxBody
	}
	if s.timeout <= 0 {
		s.timeout = DefaultTimeout
	}
	if s.logger == nil {
		s.logger = zap.NewNop()
	}
	if s.metrics == nil {
		s.metrics = NewMetrics(Build{})
	}
	s.keyJSON = keyJSON(s.keyPEM)
	s.memory = semaphore.NewWeighted(largeBodies * s.maxBody)
	s.exchanges.New = func() any { return new(exchange) }
	s.handler = cors.Default().Handler(s.routes())
	return s, nil
}

// Timeouts of NewServer. A client has that long for what it does; one that
// is slower, or sends half a request, loses its connection.
const (
	headerTimeout = 10 * time.Second
	readTimeout   = 60 * time.Second // of a request with its body
	writeTimeout  = 90 * time.Second // from the end of the header to the end of the answer
	idleTimeout   = 2 * time.Minute
	maxHeader     = 32 << 10
)

// NewServer returns a server for h that does not wait for slow clients. Its
// caller sets Addr or uses Serve.
func NewServer(h http.Handler, logger *zap.Logger) *http.Server {
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
	}
	if logger != nil {
		if l, err := zap.NewStdLogAt(logger, zap.DebugLevel); err == nil {
			s.ErrorLog = l
		}
	}
	return s
}
