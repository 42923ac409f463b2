package keyindex

import (
	"context"
	"time"
)

// diskTimeout bounds each step on the disk, so that a connection that has gone
// silent does not stop the keeper, or a search that waits for it.
const diskTimeout = 20 * time.Second

// A timed disk gives each call a time limit of its own.
type timed struct{ disk Disk }

func (t timed) Look(ctx context.Context, from int64, pages []PageID) (size int64, fresh []Append, data [][]byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, diskTimeout)
	defer cancel()
	return t.disk.Look(ctx, from, pages)
}

func (t timed) Runs(ctx context.Context, have []int64) ([]*Run, error) {
	ctx, cancel := context.WithTimeout(ctx, diskTimeout)
	defer cancel()
	return t.disk.Runs(ctx, have)
}

func (t timed) Claim(ctx context.Context, owner Owner, now, until int64) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, diskTimeout)
	defer cancel()
	return t.disk.Claim(ctx, owner, now, until)
}

func (t timed) Apply(ctx context.Context, c *Change) error {
	ctx, cancel := context.WithTimeout(ctx, diskTimeout)
	defer cancel()
	return t.disk.Apply(ctx, c)
}

func (t timed) Leftover(ctx context.Context) ([]PageID, error) {
	ctx, cancel := context.WithTimeout(ctx, diskTimeout)
	defer cancel()
	return t.disk.Leftover(ctx)
}
