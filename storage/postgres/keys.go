package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cairnlog/cairn/storage/keyindex"
)

// States of a row of key_run.
const (
	started = 0
	counts  = 1
	dead    = 2
)

// A disk is what the key index is kept in.
type disk struct {
	write, read *pgxpool.Pool
}

// Look implements keyindex.Disk, in one round trip.
func (d *disk) Look(ctx context.Context, from int64, pages []keyindex.PageID) (size int64, fresh []keyindex.Append, data [][]byte, err error) {
	q := new(pgx.Batch)
	q.Queue(`
		SELECT h.size, t.start, t.past, t.data
		FROM head h LEFT JOIN key_tail t ON t.start >= $1
		WHERE h.id = 1 ORDER BY t.start`, from)
	if len(pages) > 0 {
		run, page := make([]int64, len(pages)), make([]int32, len(pages))
		for i, p := range pages {
			run[i], page[i] = p.Run, p.Page
		}
		q.Queue(`
			SELECT want.n, p.data
			FROM unnest($1::bigint[], $2::integer[]) WITH ORDINALITY want(run, page, n)
			JOIN key_page p ON p.run = want.run AND p.page = want.page`, run, page)
	}
	results := d.read.SendBatch(ctx, q)
	defer results.Close()

	rows, err := results.Query()
	if err != nil {
		return 0, nil, nil, err
	}
	var start, past *int64 // there is one row even if nothing is fresh
	var keys []byte
	_, err = pgx.ForEachRow(rows, []any{&size, &start, &past, &keys}, func() error {
		if start != nil && past != nil {
			fresh = append(fresh, keyindex.Append{Start: *start, Past: *past, Data: keys})
		}
		return nil
	})
	if err != nil || len(pages) == 0 {
		return size, fresh, nil, errors.Join(err, results.Close())
	}
	if rows, err = results.Query(); err != nil {
		return 0, nil, nil, err
	}
	data = make([][]byte, len(pages))
	var n int64
	var page []byte
	_, err = pgx.ForEachRow(rows, []any{&n, &page}, func() error {
		data[n-1] = page
		return nil
	})
	return size, fresh, data, errors.Join(err, results.Close())
}

// Runs implements keyindex.Disk.
func (d *disk) Runs(ctx context.Context, have []int64) ([]*keyindex.Run, error) {
	rows, err := d.read.Query(ctx, `
		SELECT id, level, first, past, row_count,
			CASE WHEN id = ANY($1) THEN '' ELSE fences END,
			CASE WHEN id = ANY($1) THEN '' ELSE filter END
		FROM key_run WHERE state = $2 ORDER BY first`, append([]int64{}, have...), counts)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (*keyindex.Run, error) {
		r := new(keyindex.Run)
		return r, row.Scan(&r.ID, &r.Level, &r.First, &r.Past, &r.Rows, &r.Fences, &r.Filter)
	})
}

// Leftover implements keyindex.Disk.
func (d *disk) Leftover(ctx context.Context) ([]keyindex.PageID, error) {
	rows, err := d.read.Query(ctx, `
		SELECT id, (SELECT coalesce(max(page) + 1, 0) FROM key_page WHERE run = id)
		FROM key_run WHERE state <> $1`, counts)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[keyindex.PageID])
}

// Claim implements keyindex.Disk.
func (d *disk) Claim(ctx context.Context, owner keyindex.Owner, now, until int64) (bool, error) {
	tag, err := d.write.Exec(ctx, `
		UPDATE key_owner SET owner = $1, expires = $3
		WHERE id = 1 AND (owner = $1 OR expires <= $2 OR expires > 2 * $3::bigint - $2)`, owner[:], now, until)
	return tag.RowsAffected() == 1, err
}

// Apply implements keyindex.Disk.
func (d *disk) Apply(ctx context.Context, c *keyindex.Change) error {
	return pgx.BeginFunc(ctx, d.write, func(tx pgx.Tx) error {
		do := func(sql string, args ...any) (rows int64, err error) {
			tag, err := tx.Exec(ctx, sql, args...)
			return tag.RowsAffected(), err
		}
		// must makes a change, of n rows or nothing may change at all.
		must := func(n int64, sql string, args ...any) error {
			rows, err := do(sql, args...)
			if err == nil && rows != n {
				err = keyindex.ErrMoved
			}
			return err
		}
		// The lock keeps the lease where it is until the end.
		if err := must(1, `SELECT FROM key_owner WHERE id = 1 AND owner = $1 FOR UPDATE`, c.Owner[:]); err != nil {
			return err
		}
		if r := c.Start; r != nil {
			if err := must(1, `
				INSERT INTO key_run (id, state, level, first, past, row_count, fences, filter)
				VALUES ($1, $2, $3, $4, $5, 0, '', '')`, r.ID, started, r.Level, r.First, r.Past); err != nil {
				return err
			}
		}
		if c.Indexed > 0 {
			if err := must(1, `
				SELECT FROM key_run WHERE state = $1 HAVING coalesce(max(past), 0) = $2`, counts, c.Count.First); err != nil {
				return err
			}
			if _, err := do(`DELETE FROM key_tail WHERE start < $1`, c.Indexed); err != nil {
				return err
			}
		}
		if len(c.Dead) > 0 {
			if err := must(int64(len(c.Dead)), `
				UPDATE key_run SET state = $1 WHERE id = ANY($2) AND state = $3`, dead, c.Dead, counts); err != nil {
				return err
			}
		}
		if r := c.Count; r != nil {
			if err := must(1, `
				INSERT INTO key_run (id, state, level, first, past, row_count, fences, filter)
				VALUES ($1, $2, $3, $4, $5, $6, coalesce($7::bytea, ''), $8)
				ON CONFLICT (id) DO UPDATE SET state = excluded.state, row_count = excluded.row_count,
					fences = excluded.fences, filter = excluded.filter`,
				r.ID, counts, r.Level, r.First, r.Past, r.Rows, r.Fences, r.Filter); err != nil {
				return err
			}
		} else if len(c.Pages) > 0 {
			if err := must(1, `SELECT FROM key_run WHERE id = $1 AND state = $2`, c.To.Run, started); err != nil {
				return err
			}
		}
		if len(c.Pages) > 0 {
			if _, err := do(`
				INSERT INTO key_page (run, page, data)
				SELECT $1::bigint, $2::integer + n - 1, data FROM unnest($3::bytea[]) WITH ORDINALITY p(data, n)`,
				c.To.Run, c.To.Page, c.Pages); err != nil {
				return err
			}
		}
		if c.Drop.Run != 0 {
			if _, err := do(`DELETE FROM key_page WHERE run = $1 AND page < $2`, c.Drop.Run, c.Drop.Page); err != nil {
				return err
			}
		}
		if c.Forget != 0 {
			if _, err := do(`DELETE FROM key_run WHERE id = $1 AND state <> $2`, c.Forget, counts); err != nil {
				return err
			}
		}
		return nil
	})
}
