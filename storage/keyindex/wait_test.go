package keyindex

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cairnlog/cairn/log"
)

// A silent disk does not answer Runs until the context ends, as a connection
// that has gone silent.
type silentDisk struct{ *fakeDisk }

func (d silentDisk) Runs(ctx context.Context, _ []int64) ([]*Run, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestFindEndsWithItsContext has a load hang, and searches behind it.
func TestFindEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ix := newIndex(silentDisk{newFakeDisk()}, Default)
	hang, stop := context.WithCancel(t.Context())
	loading := make(chan error, 1)
	go func() { loading <- ix.load(hang, 0) }()
	for len(ix.loading) == 0 {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := ix.Find(ctx, []log.Key{key(1)}, -1, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("search behind a load that hangs: %v", err)
	}
	stop()
	if err := <-loading; !errors.Is(err, context.Canceled) {
		t.Errorf("load: %v", err)
	}
}

// TestLeaseFromTheFuture takes the lease from a server whose clock was wrong,
// and leaves it to one whose clock is a little ahead.
func TestLeaseFromTheFuture(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ahead time.Duration
		want  bool
	}{
		"in time":       {0, false},
		"a little":      {leaseTime / 2, false},
		"a year":        {365 * 24 * time.Hour, true},
		"long run out":  {-time.Hour, true},
		"just run out":  {-leaseTime - time.Second, true},
		"three minutes": {3 * time.Minute, true},
	} {
		d := newFakeDisk()
		d.owner, d.expires = Owner{9}, time.Now().Add(c.ahead+leaseTime).Unix()
		k := keeper{Index: newIndex(d, Default)}
		err := k.claim(t.Context())
		if got := err == nil; got != c.want || !got && !errors.Is(err, ErrMoved) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
