package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A processes is one or more processes with all their descendants.
type processes struct {
	name string // for the report
	pids []int
}

// tick is the unit of times in /proc, which is the same on all machines that
// Go supports. https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
const tick = 10 * time.Millisecond

// A procStat is what is read in /proc/PID/stat.
type procStat struct {
	command string
	parent  int
	// cpu is of the process and of those children that have ended and were
	// waited for, so what a database process used stays in the sum of its
	// tree when it ends.
	cpu time.Duration
}

func readProc(pid int) (procStat, error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return procStat{}, err
	}
	return parseProc(b)
}

func parseProc(b []byte) (procStat, error) {
	var s procStat
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return s, errors.New("read process: unexpected form")
	}
	s.command = string(b[open+1 : end])
	f := strings.Fields(string(b[end+1:])) // f[0] is field 3
	if len(f) < 15 {
		return s, errors.New("read process: too few fields")
	}
	var err error
	if s.parent, err = strconv.Atoi(f[1]); err != nil {
		return s, fmt.Errorf("read process: %w", err)
	}
	for _, v := range f[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return s, fmt.Errorf("read process: %w", err)
		}
		s.cpu += time.Duration(n) * tick
	}
	return s, nil
}

// cpu returns the processor time of all.
func (p *processes) cpu() (time.Duration, error) {
	all, err := p.tree()
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, s := range all {
		sum += s.cpu
	}
	return sum, nil
}

// tree returns the processes and their descendants by pid.
func (p *processes) tree() (map[int]procStat, error) {
	names, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	all := make(map[int]procStat, len(names))
	for _, n := range names {
		pid, err := strconv.Atoi(filepath.Base(n))
		if err != nil {
			continue
		}
		if s, err := readProc(pid); err == nil { // it may have ended meanwhile
			all[pid] = s
		}
	}
	tree := make(map[int]procStat)
	for _, pid := range p.pids {
		s, ok := all[pid]
		if !ok {
			return nil, fmt.Errorf("there is no process %d (%s)", pid, p.name)
		}
		tree[pid] = s
	}
	for grown := true; grown; {
		grown = false
		for pid, s := range all {
			if _, in := tree[pid]; in {
				continue
			}
			if _, in := tree[s.parent]; in {
				tree[pid], grown = s, true
			}
		}
	}
	return tree, nil
}

// peak returns the largest resident memory that the processes ever had, in
// bytes. Shared memory counts in each of them.
func (p *processes) peak() (int64, error) {
	var sum int64
	for _, pid := range p.pids {
		b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(string(b)) {
			if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")), 10, 64)
				if err != nil {
					return 0, fmt.Errorf("read memory of process %d: %w", pid, err)
				}
				sum += n << 10
			}
		}
	}
	return sum, nil
}

// postmaster returns the main process of the Postgres server at url, if that
// runs on this machine.
func postmaster(ctx context.Context, url string) (*processes, error) {
	conn, err := connectPostgres(ctx, url)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	var pid int
	if err := conn.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		return nil, err
	}
	s, err := readProc(pid)
	if err != nil || !strings.HasPrefix(s.command, "postgres") {
		return nil, fmt.Errorf("the Postgres server does not run on this machine, or its process %d cannot be seen", pid)
	}
	return &processes{name: "postgres", pids: []int{s.parent}}, nil
}
