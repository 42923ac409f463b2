package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"slices"
	"strconv"

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
	write    *sql.DB
	fast     *readers
	runs     *sql.Stmt // for reading
	leftover *sql.Stmt
}

// pageRow returns the id of a page's row in key_page. The run comes first, so
// that its pages lie side by side.
func pageRow(p keyindex.PageID) int64 { return p.Run<<keyindex.PageBits | int64(p.Page) }

// look reads the size of the log, what was appended from an entry on, and
// pages, all as of one moment.
const look = `
	SELECT h.size, t.start, t.past, t.data, NULL
	FROM head h LEFT JOIN key_tail t ON t.start >= ?
	WHERE h.id = 1
	UNION ALL
	SELECT NULL, NULL, NULL, p.data, want.key
	FROM json_each(?) want CROSS JOIN key_page p ON p.id = want.value`

func newDisk(ctx context.Context, write, read *sql.DB, fast *readers) (*disk, error) {
	d := &disk{write: write, fast: fast}
	for _, p := range []struct {
		stmt **sql.Stmt
		sql  string
	}{
		{&d.runs, `
			SELECT id, level, first, past, row_count,
				CASE WHEN id IN (SELECT value FROM json_each(?1)) THEN x'' ELSE fences END,
				CASE WHEN id IN (SELECT value FROM json_each(?1)) THEN x'' ELSE filter END
			FROM key_run WHERE state = 1 ORDER BY first`},
		{&d.leftover, `
			SELECT id, (
				SELECT coalesce(max(p.id) + 1 - (r.id << ?1), 0) FROM key_page p
				WHERE p.id >= r.id << ?1 AND p.id < (r.id + 1) << ?1)
			FROM key_run r WHERE state <> 1`},
	} {
		var err error
		if *p.stmt, err = read.PrepareContext(ctx, p.sql); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// Look implements keyindex.Disk.
func (d *disk) Look(ctx context.Context, from int64, pages []keyindex.PageID) (size int64, fresh []keyindex.Append, data [][]byte, err error) {
	want := make([]byte, 0, 2+20*len(pages))
	for i, p := range pages {
		want = strconv.AppendInt(append(want, "[,"[min(i, 1)]), pageRow(p), 10)
	}
	if len(pages) == 0 {
		want = append(want, '[')
	}
	data = make([][]byte, len(pages))
	err = d.fast.each(ctx, look, []driver.Value{from, string(append(want, ']'))}, func(row []driver.Value) error {
		if row[4] != nil {
			i, err := integer(row[4])
			if err == nil {
				data[i], err = blobOf(row[3])
			}
			return err
		}
		var err error
		if size, err = integer(row[0]); err != nil || row[1] == nil {
			return err // there is one row even if nothing is fresh
		}
		start, e1 := integer(row[1])
		past, e2 := integer(row[2])
		keys, e3 := blobOf(row[3])
		fresh = append(fresh, keyindex.Append{Start: start, Past: past, Data: keys})
		return errors.Join(e1, e2, e3)
	})
	if err != nil {
		return 0, nil, nil, err
	}
	slices.SortFunc(fresh, func(a, b keyindex.Append) int { return cmp.Compare(a.Start, b.Start) })
	return size, fresh, data, nil
}

// Runs implements keyindex.Disk.
func (d *disk) Runs(ctx context.Context, have []int64) ([]*keyindex.Run, error) {
	known, _ := json.Marshal(append([]int64{}, have...)) // integers always can be
	rows, err := d.runs.QueryContext(ctx, string(known))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var runs []*keyindex.Run
	for rows.Next() {
		r := new(keyindex.Run)
		if err := rows.Scan(&r.ID, &r.Level, &r.First, &r.Past, &r.Rows, &r.Fences, &r.Filter); err != nil {
			return nil, err
		}
		runs = append(runs, r)
	}
	return runs, rows.Err()
}

// Leftover implements keyindex.Disk.
func (d *disk) Leftover(ctx context.Context) ([]keyindex.PageID, error) {
	rows, err := d.leftover.QueryContext(ctx, keyindex.PageBits)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var left []keyindex.PageID
	for rows.Next() {
		var end keyindex.PageID
		if err := rows.Scan(&end.Run, &end.Page); err != nil {
			return nil, err
		}
		left = append(left, end)
	}
	return left, rows.Err()
}

// Claim implements keyindex.Disk.
func (d *disk) Claim(ctx context.Context, owner keyindex.Owner, now, until int64) (bool, error) {
	r, err := d.write.ExecContext(ctx, `
		UPDATE key_owner SET owner = ?1, expires = ?3
		WHERE id = 1 AND (owner = ?1 OR expires <= ?2 OR expires > 2 * ?3 - ?2)`, owner[:], now, until)
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n == 1, err
}

// Apply implements keyindex.Disk.
func (d *disk) Apply(ctx context.Context, c *keyindex.Change) error {
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	do := func(query string, args ...any) (rows int64, err error) {
		r, err := tx.ExecContext(ctx, query, args...)
		if err != nil {
			return 0, err
		}
		return r.RowsAffected()
	}
	// must makes a change, of n rows or nothing may change at all.
	must := func(n int64, query string, args ...any) error {
		rows, err := do(query, args...)
		if err == nil && rows != n {
			err = keyindex.ErrMoved
		}
		return err
	}
	// ensure asks whether something is so, or nothing may change at all.
	ensure := func(query string, args ...any) error {
		var so bool
		err := tx.QueryRowContext(ctx, query, args...).Scan(&so)
		if err == nil && !so {
			err = keyindex.ErrMoved
		}
		return err
	}
	if err := ensure(`SELECT owner = ? FROM key_owner WHERE id = 1`, c.Owner[:]); err != nil {
		return err
	}
	if r := c.Start; r != nil {
		if err := must(1, `
			INSERT INTO key_run (id, state, level, first, past, row_count, fences, filter)
			VALUES (?, ?, ?, ?, ?, 0, x'', x'')`, r.ID, started, r.Level, r.First, r.Past); err != nil {
			return err
		}
	}
	if c.Indexed > 0 {
		if err := ensure(`SELECT coalesce(max(past), 0) = ? FROM key_run WHERE state = ?`, c.Count.First, counts); err != nil {
			return err
		}
		if _, err := do(`DELETE FROM key_tail WHERE start < ?`, c.Indexed); err != nil {
			return err
		}
	}
	for _, id := range c.Dead {
		if err := must(1, `UPDATE key_run SET state = ? WHERE id = ? AND state = ?`, dead, id, counts); err != nil {
			return err
		}
	}
	if r := c.Count; r != nil {
		if err := must(1, `
			INSERT INTO key_run (id, state, level, first, past, row_count, fences, filter)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET state = excluded.state, row_count = excluded.row_count,
				fences = excluded.fences, filter = excluded.filter`,
			r.ID, counts, r.Level, r.First, r.Past, r.Rows, blob(r.Fences), blob(r.Filter)); err != nil {
			return err
		}
	} else if len(c.Pages) > 0 {
		if err := ensure(`SELECT count(*) = 1 FROM key_run WHERE id = ? AND state = ?`, c.To.Run, started); err != nil {
			return err
		}
	}
	if len(c.Pages) > 0 {
		insert, err := tx.PrepareContext(ctx, `INSERT INTO key_page (id, data) VALUES (?, ?)`)
		if err != nil {
			return err
		}
		defer insert.Close()
		for i, page := range c.Pages {
			if _, err := insert.ExecContext(ctx, pageRow(keyindex.PageID{Run: c.To.Run, Page: c.To.Page + int32(i)}), page); err != nil {
				return err
			}
		}
	}
	if c.Drop.Run != 0 {
		if _, err := do(`DELETE FROM key_page WHERE id >= ? AND id < ?`, pageRow(keyindex.PageID{Run: c.Drop.Run}), pageRow(c.Drop)); err != nil {
			return err
		}
	}
	if c.Forget != 0 {
		if _, err := do(`DELETE FROM key_run WHERE id = ? AND state <> ?`, c.Forget, counts); err != nil {
			return err
		}
	}
	return tx.Commit()
}
