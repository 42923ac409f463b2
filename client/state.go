package client

import (
	"bytes"
	"context"
	"sync"
)

// Known is what is remembered of a log. The zero Known is nothing.
type Known struct {
	Key        []byte // PKIX DER of the key that is trusted
	Pinned     bool   // the key was given by the user, not taken from the log on first use
	Checkpoint []byte // the newest that was verified, nil if none was yet
}

func (k Known) equal(o Known) bool {
	return bytes.Equal(k.Key, o.Key) && k.Pinned == o.Pinned && bytes.Equal(k.Checkpoint, o.Checkpoint)
}

// A State remembers one log between runs. Methods may be called concurrently,
// by several processes where the medium is shared.
type State interface {
	// Load returns what is remembered, the zero Known if that is nothing.
	Load(ctx context.Context) (Known, error)
	// Store remembers new, durably, if old is what is remembered now. If it
	// is not, nothing changes and Store returns false.
	Store(ctx context.Context, old, new Known) (bool, error)
}

// A Memory is a State that lives as long as the process.
type Memory struct {
	mu    sync.Mutex
	known Known
}

// Load implements State.
func (m *Memory) Load(context.Context) (Known, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known, nil
}

// Store implements State.
func (m *Memory) Store(_ context.Context, old, new Known) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.known.equal(old) {
		return false, nil
	}
	m.known = new
	return true, nil
}

// ReadOnly returns a State that knows what s knows and forgets what it is told.
func ReadOnly(s State) State { return readOnly{s} }

type readOnly struct{ State }

func (readOnly) Store(context.Context, Known, Known) (bool, error) { return true, nil }
