package api

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"golang.org/x/sync/semaphore"
)

// A trickle gives one byte a read and looks at what is set aside for more.
type trickle struct {
	left    int
	arrived int
	check   func(arrived, free int)
}

func (r *trickle) Read(b []byte) (int, error) {
	r.check(r.arrived, len(b))
	if r.left == 0 {
		return 0, io.ErrUnexpectedEOF // the client is gone
	}
	n := min(r.left, len(b), 4096)
	r.left -= n
	r.arrived += n
	return n, nil
}

func (r *trickle) Close() error { return nil }

func bodyServer(maxBody int64) *server {
	return &server{maxBody: maxBody, memory: semaphore.NewWeighted(largeBodies * maxBody)}
}

// What a body gets is in proportion to what has arrived, whatever was announced.
func TestHalfSentBody(t *testing.T) {
	t.Parallel()
	s := bodyServer(32 << 20)
	for _, sent := range []int{0, 1, 10_000, 3_000_000} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.ContentLength = 32 << 20
		r.Body = &trickle{left: sent, check: func(arrived, free int) {
			if most := max(firstRead, 2*arrived); arrived+free > most {
				t.Errorf("%d bytes for a body of which %d arrived", arrived+free, arrived)
			}
		}}
		x := new(exchange)
		_, err := s.readBody(x, r, s.maxBody)
		var e *refusal
		if !errors.As(err, &e) || e.status != http.StatusBadRequest || !e.close {
			t.Errorf("err = %v", err)
		}
		if !s.memory.TryAcquire(largeBodies*s.maxBody - x.held) {
			t.Errorf("%d bytes: more is held than the exchange says", sent)
		}
		s.memory.Release(largeBodies * s.maxBody)
	}
}

// Large bodies are refused while others take the memory for them; small ones
// are not.
func TestLargeBodies(t *testing.T) {
	t.Parallel()
	s := bodyServer(1 << 20)
	read := func(n int) (*exchange, error) {
		x := new(exchange)
		_, err := s.readBody(x, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(make([]byte, n))), s.maxBody)
		return x, err
	}
	var held []*exchange
	for {
		x, err := read(1 << 20)
		held = append(held, x)
		if err == nil {
			if len(held) > largeBodies {
				t.Fatal("large bodies have no end")
			}
			continue
		}
		var e *refusal
		if !errors.As(err, &e) || e.status != http.StatusServiceUnavailable || !e.retry {
			t.Fatalf("err = %v", err)
		}
		break
	}
	if len(held) < 2 {
		t.Fatal("no large body was accepted")
	}
	if _, err := read(smallBody - 1); err != nil {
		t.Errorf("a small body: %v", err)
	}
	for _, x := range held {
		s.memory.Release(x.held)
	}
	if _, err := read(1 << 20); err != nil {
		t.Errorf("after the others were done: %v", err)
	}
}
