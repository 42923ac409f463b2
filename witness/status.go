package witness

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// A Status says how the cosigning of a log goes.
type Status struct {
	Published int64               // size of the newest tree with a quorum
	At        time.Time           // when it was published, as far as we know; zero if there is none
	Waiting   time.Time           // since when a checkpoint has been without its quorum; zero if none is
	Stopped   *ContradictionError // why the log was stopped; nil if it was not
	Witnesses []WitnessStatus
}

// A WitnessStatus says how one witness does.
type WitnessStatus struct {
	Name        string // in the policy
	URL         string
	Size        int64     // of the tree that it has cosigned last
	Success     time.Time // when it did so for us; zero for never
	Cosigned    int64     // requests that were granted
	Failed      int64     // and those that were not
	Contradicts bool      // it says that the log contradicts what it said before
}

// status is a Status that others may read while the Asker runs.
type status struct {
	mu  sync.Mutex
	now Status
}

func (s *status) init(witnesses []*asked) {
	for _, w := range witnesses {
		s.now.Witnesses = append(s.now.Witnesses, WitnessStatus{Name: w.Name, URL: w.URL})
	}
}

func (s *status) publish(size int64, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.Published, s.now.At, s.now.Waiting = size, at, time.Time{}
}

func (s *status) stop(why *ContradictionError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.Stopped = why
}

func (s *status) wait(since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now.Waiting.IsZero() {
		s.now.Waiting = since
	}
}

func (s *status) answer(name string, size int64, err error, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.now.Witnesses, func(w WitnessStatus) bool { return w.Name == name })
	w := &s.now.Witnesses[i]
	w.Size = size
	contradiction := (*ContradictionError)(nil)
	w.Contradicts = errors.As(err, &contradiction)
	switch {
	case err == nil:
		w.Cosigned++
		w.Success = at
	case !errors.Is(err, errAhead):
		w.Failed++
	}
}

// patience is for how long a checkpoint may be without its quorum before that
// is worth a word.
const patience = 10 * time.Second

// Trouble says what somebody should look into, or "".
func (s Status) Trouble(now time.Time) string {
	for _, w := range s.Witnesses {
		if w.Contradicts {
			return fmt.Sprintf("witness %q says that this log contradicts what it said before", w.Name)
		}
	}
	if !s.Waiting.IsZero() && now.Sub(s.Waiting) > patience {
		return fmt.Sprintf("no quorum for %v", now.Sub(s.Waiting).Round(time.Second))
	}
	return ""
}

// Status says how the cosigning goes.
func (a *Asker) Status() Status {
	a.status.mu.Lock()
	defer a.status.mu.Unlock()
	s := a.status.now
	s.Witnesses = slices.Clone(s.Witnesses)
	return s
}
