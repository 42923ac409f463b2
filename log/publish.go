package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/merkle"
)

const (
	// maxWaiting is how many callers may be in WaitPublished. Each holds a
	// goroutine and a connection.
	maxWaiting = 4096
	// publishedEvery is how often a log looks for what other replicas have
	// published while somebody waits for it.
	publishedEvery = 200 * time.Millisecond
)

// A Published tree is one that the log shows to everybody.
type Published struct {
	Tree     merkle.Tree
	Note     []byte // C2SP checkpoint over Tree; shared, not to be changed
	Cosigned bool   // Note has the lines of enough witnesses
}

// A publication is a published tree. Those who wait for the next one all wait
// for one channel.
type publication struct {
	Published
	next chan struct{} // closed when there is another
}

// Published returns the newest tree that is published, over all replicas. It
// fails with ErrNoNote if the log signs no C2SP checkpoints.
//
// Without witnesses that is the newest tree. With them it is the newest that
// enough of them have cosigned; until the first such one it is, with the
// log's own lines only, the tree that the log had when it was opened.
func (l *Log) Published(ctx context.Context) (Published, error) {
	if l.options.Witnessed {
		return l.shown.one(ctx, struct{}{})
	}
	st, err := l.refresh(ctx)
	if err != nil {
		return Published{}, err
	}
	return st.published()
}

// Newest returns the newest tree, over all replicas, and the log's own C2SP
// checkpoint over it, whether it is published or not.
func (l *Log) Newest(ctx context.Context) (merkle.Tree, []byte, error) {
	st, err := l.refresh(ctx)
	if err != nil {
		return merkle.Tree{}, nil, err
	}
	note, err := st.sign()
	return st.head.Tree, note, err
}

// WaitPublished returns a published tree that has the entry at index, as soon
// as there is one: with witnesses one that they have cosigned. It fails with
// ErrNotFound if there is no such entry, and with ErrWaiting if too many wait.
func (l *Log) WaitPublished(ctx context.Context, index int64) (Published, error) {
	st, err := l.covering(ctx, index)
	if err != nil {
		return Published{}, err
	}
	if !l.options.Witnessed {
		return st.published()
	}
	p := l.published.Load()
	if p.Cosigned && index < p.Tree.Size {
		return p.Published, nil
	}
	if l.waiting.Add(1) > maxWaiting {
		l.waiting.Add(-1)
		return Published{}, ErrWaiting
	}
	defer l.waiting.Add(-1)
	for ; !p.Cosigned || index >= p.Tree.Size; p = l.published.Load() {
		select {
		case <-p.next:
		case <-ctx.Done():
			return Published{}, ctx.Err()
		case <-l.stop:
			return Published{}, ErrClosed
		case <-l.broken:
			return Published{}, *l.fault.Load()
		}
	}
	return p.Published, nil
}

// Publish shows a checkpoint that enough witnesses have cosigned to everybody,
// on all replicas. Its tree must be one that the log had. It has no effect if
// a larger one is published.
func (l *Log) Publish(ctx context.Context, note []byte) error {
	if !l.options.Witnessed {
		return errors.New("publish: the log has no witnesses")
	}
	if err := l.fault.Load(); err != nil {
		return *err
	}
	p, err := l.cosigned(ctx, note)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if err := l.store.Publish(ctx, p.Tree.Size, note); err != nil && !errors.Is(err, ErrConflict) {
		return fmt.Errorf("publish: %w", err)
	}
	_, err = l.shown.one(ctx, struct{}{})
	return err
}

// cosigned reads a note that has the lines of witnesses and checks that its
// tree is one that the log had.
func (l *Log) cosigned(ctx context.Context, note []byte) (Published, error) {
	c, _, err := checkpoint.Parse(note)
	if err != nil {
		return Published{}, err
	}
	if c.Origin != l.options.Identity.Origin {
		return Published{}, fmt.Errorf("the checkpoint is of %q, not of %q", c.Origin, l.options.Identity.Origin)
	}
	st := l.newest.Load()
	if c.Tree.Size > st.head.Tree.Size {
		if st, err = l.refresh(ctx); err != nil {
			return Published{}, err
		}
	}
	if empty := (merkle.Tree{Root: merkle.EmptyRoot}); c.Tree.Size == 0 && c.Tree != empty {
		return Published{}, &RollbackError{Seen: c.Tree, Have: empty}
	}
	if err := l.continues(ctx, st, c.Tree); err != nil {
		return Published{}, err
	}
	return Published{Tree: c.Tree, Note: note, Cosigned: true}, nil
}

// openPublished reads what was published before, or makes do with the tree of
// st: it is not less than what was shown while there were no witnesses.
func (l *Log) openPublished(ctx context.Context, st *state) error {
	_, note, err := l.store.Published(ctx)
	var p Published
	switch {
	case errors.Is(err, ErrNotFound):
		p, err = st.published()
	case err == nil:
		p, err = l.cosigned(ctx, note)
	}
	if err != nil {
		return fmt.Errorf("published checkpoint: %w", err)
	}
	l.published.Store(&publication{Published: p, next: make(chan struct{})})
	return nil
}

// loadPublished returns what is published, by the store or by us.
func (l *Log) loadPublished(ctx context.Context, _ []struct{}) ([]Published, error) {
	if err := l.fault.Load(); err != nil {
		return nil, *err
	}
	have := l.published.Load()
	_, note, err := l.store.Published(ctx)
	if errors.Is(err, ErrNotFound) && !have.Cosigned || err == nil && bytes.Equal(note, have.Note) {
		return []Published{have.Published}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read published checkpoint: %v", err)
	}
	p, err := l.cosigned(ctx, note)
	if back := (*RollbackError)(nil); errors.As(err, &back) {
		l.fail(fmt.Errorf("published checkpoint: %w", err))
	}
	if err != nil {
		return nil, fmt.Errorf("published checkpoint: %w", err)
	}
	return []Published{l.show(p)}, nil
}

// show makes p what is published unless a larger tree is, and returns what is.
func (l *Log) show(p Published) Published {
	l.publishes.Lock()
	defer l.publishes.Unlock()
	have := l.published.Load()
	if p.Tree.Size < have.Tree.Size {
		return have.Published
	}
	l.published.Store(&publication{Published: p, next: make(chan struct{})})
	close(have.next)
	return p
}

// followPublished looks for what other replicas have published while somebody
// waits for it.
func (l *Log) followPublished() {
	l.every(publishedEvery, func() {
		if l.waiting.Load() == 0 {
			return
		}
		if _, err := l.shown.one(context.Background(), struct{}{}); err != nil && l.fault.Load() == nil {
			l.logger.Warn("read what is published", zap.Error(err))
		}
	})
}

func (st *state) published() (Published, error) {
	note, err := st.sign()
	if err != nil {
		return Published{}, err
	}
	return Published{Tree: st.head.Tree, Note: note}, nil
}
