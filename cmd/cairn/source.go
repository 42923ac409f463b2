package main

import (
	"bufio"
	"bytes"
	"crypto"
	"errors"
	"io"

	"github.com/cairnlog/cairn/entry"
)

// A source is an artifact that is being read: a file, a URL, or standard
// input. It is read once, so what was looked at is kept for who comes next.
type source struct {
	name    string
	r       *bufio.Reader
	close   func() error
	content []byte // all of it, if whole
	whole   bool
	long    bool // it is over maxArtifact
}

func (g *Globals) source(name string) (*source, error) {
	r, err := g.open(name)
	if err != nil {
		return nil, err
	}
	return &source{name: name, r: bufio.NewReaderSize(r, 64<<10), close: r.Close}, nil
}

// head returns how the artifact begins, as much as is needed to see whether it
// may carry its own signature.
func (s *source) head() ([]byte, error) {
	if s.whole {
		return s.content[:min(len(s.content), entry.GuessHead)], nil
	}
	b, err := s.r.Peek(entry.GuessHead)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, readError(s.name, err)
	}
	return b, nil
}

// all returns the artifact, unless it is over maxArtifact.
func (s *source) all() ([]byte, error) {
	if !s.whole && !s.long {
		b, err := io.ReadAll(io.LimitReader(s.r, maxArtifact+1))
		if err != nil {
			return nil, readError(s.name, err)
		}
		if s.long = len(b) > maxArtifact; s.long {
			s.r = bufio.NewReader(io.MultiReader(bytes.NewReader(b), s.r))
		} else {
			s.content, s.whole = b, true
		}
	}
	if s.long {
		return nil, tooLong(s.name, maxArtifact)
	}
	return s.content, nil
}

// sum hashes the artifact, of any length. Nothing can be read afterwards of
// one that was not read as a whole before.
func (s *source) sum(h crypto.Hash) ([]byte, error) {
	d := h.New()
	if s.whole {
		d.Write(s.content)
	} else if _, err := io.Copy(d, s.r); err != nil {
		return nil, readError(s.name, err)
	}
	return d.Sum(nil), nil
}
