// Package witness has both sides of witnessing. A witness watches a log grow
// and puts its signature beside the log's on each checkpoint that continues
// all it has seen before. Who relies on checkpoints with enough such
// signatures cannot be shown a history of their own.
//
// A Witness cosigns for logs; an Asker has a log's checkpoints cosigned.
// https://c2sp.org/tlog-witness, https://c2sp.org/tlog-cosignature
package witness

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/time/rate"

	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/merkle"
)

// Reasons for which a Witness does not cosign.
var (
	// ErrMalformed means that a request is not one.
	ErrMalformed = errors.New("malformed request")
	// ErrUnknownLog means that the witness is not one of that log.
	ErrUnknownLog = errors.New("unknown log")
	// ErrUntrusted means that no key of the log has signed the checkpoint.
	ErrUntrusted = errors.New("no trusted key of the log has signed this checkpoint")
	// ErrInconsistent means that the checkpoint is not shown to continue the
	// last one.
	ErrInconsistent = errors.New("the checkpoint does not continue the one that was cosigned last")
	// ErrBusy means that a log asks too often.
	ErrBusy = errors.New("too many requests for this log")
)

// A StaleError says that a request starts at another size than that of the
// tree that the witness has cosigned last.
type StaleError struct{ Size int64 }

func (e *StaleError) Error() string {
	return fmt.Sprintf("the size cosigned last is %d", e.Size)
}

// A Store keeps the newest checkpoint that a witness has cosigned of each
// log. Methods may be called concurrently, by several processes where the
// medium allows it.
type Store interface {
	// Witnessed returns what Witness kept last for a log, or nil.
	Witnessed(ctx context.Context, origin string) ([]byte, error)
	// Witness keeps a note for a log in place of old, nil for none; it is
	// durable when Witness returns. It returns false, and wrote nothing, if
	// another one is kept. After an error the outcome is unknown.
	Witness(ctx context.Context, origin string, old, note []byte) (bool, error)
}

const (
	// perLog is how many requests a second of one log reach the store. A log
	// asks about once a second, each of its replicas maybe, and again when a
	// size was out of date.
	perLog      = 10
	perLogBurst = 30
	// maxRaces is how often a request starts over because another one of the
	// same log was faster.
	maxRaces = 8
)

// Options say what a Witness is.
type Options struct {
	Store    Store
	Cosigner *checkpoint.Cosigner
	// Logs are the keys of the logs to cosign for. A key's name is the log's
	// origin; a log may have several, one of which must have signed.
	Logs []note.Verifier
	// Rate is how many requests a second are looked at for one log; 0 for
	// the default.
	Rate float64
}

// A Witness cosigns the checkpoints of logs.
type Witness struct {
	store    Store
	cosigner *checkpoint.Cosigner
	logs     map[string]*follows // by origin
	origins  map[[sha256.Size]byte]string
}

// follows is a log that a witness follows.
type follows struct {
	origin string
	keys   []note.Verifier
	limit  *rate.Limiter
}

// New returns a Witness. It fails if a log has the witness's own name: a
// signature line says who signs by its name.
func New(o Options) (*Witness, error) {
	w := &Witness{store: o.Store, cosigner: o.Cosigner, logs: make(map[string]*follows), origins: make(map[[sha256.Size]byte]string)}
	limit, burst := rate.Limit(o.Rate), int(o.Rate)+1
	if o.Rate <= 0 {
		limit, burst = perLog, perLogBurst
	}
	for _, key := range o.Logs {
		origin := key.Name()
		if origin == o.Cosigner.Name() {
			return nil, fmt.Errorf("witness %s: a log has the same name", origin)
		}
		l := w.logs[origin]
		if l == nil {
			l = &follows{origin: origin, limit: rate.NewLimiter(limit, burst)}
			w.logs[origin] = l
			w.origins[sha256.Sum256([]byte(origin))] = origin
		}
		for _, k := range l.keys {
			if k.KeyHash() == key.KeyHash() {
				return nil, fmt.Errorf("witness %s: log %s has a key twice", o.Cosigner.Name(), origin)
			}
		}
		l.keys = append(l.keys, key)
	}
	return w, nil
}

// Add cosigns a checkpoint if it continues the one that was cosigned last,
// and returns the signature line. What it returns is durable.
func (w *Witness) Add(ctx context.Context, r Request) ([]byte, error) {
	// 1. What is asked, and by whom.
	c, _, err := checkpoint.Parse(r.Note)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	l := w.logs[c.Origin]
	if l == nil {
		return nil, fmt.Errorf("%w %q", ErrUnknownLog, c.Origin)
	}
	signed, err := note.Open(r.Note, note.VerifierList(l.keys...))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	if r.Old > c.Tree.Size {
		return nil, fmt.Errorf("%w: the old size %d is over that of the checkpoint, %d", ErrMalformed, r.Old, c.Tree.Size)
	}
	if !l.limit.Allow() {
		return nil, ErrBusy
	}

	for range maxRaces {
		// 2. Does it continue what was cosigned last?
		old, err := w.store.Witnessed(ctx, c.Origin)
		if err != nil {
			return nil, err
		}
		last := merkle.Tree{Root: merkle.EmptyRoot}
		if old != nil {
			kept, _, err := checkpoint.Parse(old)
			if err == nil && kept.Origin != c.Origin {
				err = fmt.Errorf("it is of %q", kept.Origin)
			}
			if err != nil {
				return nil, fmt.Errorf("what was cosigned last of %q is damaged: %w", c.Origin, err)
			}
			last = kept.Tree
		}
		if r.Old != last.Size {
			return nil, &StaleError{Size: last.Size}
		}
		if err := continues(last, c.Tree, r.Proof); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInconsistent, err)
		}

		// 3. Sign, but show the signature only when it is on record. Lines of
		// others are not kept: nobody has verified them.
		sig, err := w.cosigner.Sign([]byte(signed.Text))
		if err != nil {
			return nil, err
		}
		line := signatureLine(w.cosigner.Name(), w.cosigner.KeyHash(), sig)
		kept := append([]byte(signed.Text), '\n')
		for _, s := range signed.Sigs {
			kept = append(kept, "— "+s.Name+" "+s.Base64+"\n"...)
		}
		ok, err := w.store.Witness(ctx, c.Origin, old, append(kept, line...))
		if err != nil {
			return nil, err
		}
		if ok {
			return line, nil
		}
	}
	return nil, ErrBusy
}

// continues checks that the older tree is a prefix of the newer one.
func continues(older, newer merkle.Tree, proof []merkle.Hash) error {
	if empty := (merkle.Tree{Root: merkle.EmptyRoot}); newer.Size == 0 && newer != empty {
		return errors.New("this is not the root of an empty tree")
	}
	if older.Size == newer.Size && older.Root != newer.Root {
		return &merkle.RootError{Size: older.Size, Want: older.Root, Have: newer.Root}
	}
	return merkle.VerifyConsistency(older, newer, proof)
}

// signatureLine returns a signature as a line of a note.
func signatureLine(name string, hash uint32, sig []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, hash)
	line := append([]byte("— "+name+" "), base64.StdEncoding.EncodeToString(append(b, sig...))...)
	return append(line, '\n')
}

// Latest returns the newest checkpoint that was cosigned of a log, with the
// lines of the log and of this witness. It fails with ErrUnknownLog if there
// is none.
func (w *Witness) Latest(ctx context.Context, origin string) ([]byte, error) {
	if w.logs[origin] == nil {
		return nil, ErrUnknownLog
	}
	b, err := w.store.Witnessed(ctx, origin)
	if err == nil && b == nil {
		err = fmt.Errorf("%w: nothing was cosigned yet", ErrUnknownLog)
	}
	return b, err
}
