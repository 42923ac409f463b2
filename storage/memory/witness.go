package memory

import (
	"bytes"
	"context"
	"fmt"
)

// Witnessed returns what Witness kept last for a log, or nil.
func (s *Store) Witnessed(ctx context.Context, origin string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read what was witnessed: %w", err)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.witnessed[origin], nil
}

// Witness keeps a note for a log in place of old, nil for none. It returns
// false, and wrote nothing, if another one is kept.
func (s *Store) Witness(ctx context.Context, origin string, old, note []byte) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, fmt.Errorf("keep what is witnessed: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	have, ok := s.witnessed[origin]
	if ok != (old != nil) || !bytes.Equal(have, old) {
		return false, nil
	}
	if s.witnessed == nil {
		s.witnessed = make(map[string][]byte)
	}
	s.witnessed[origin] = append([]byte{}, note...)
	return true, nil
}
