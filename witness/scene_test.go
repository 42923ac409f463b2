package witness_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
	"github.com/cairnlog/cairn/storage/memory"
	"github.com/cairnlog/cairn/witness"
)

// A network has witnesses by their host.
type network map[string]http.Handler

// RoundTrip answers as the host's handler does, in the time of the test.
func (n network) RoundTrip(r *http.Request) (*http.Response, error) {
	h := n[r.URL.Host]
	if h == nil {
		return nil, errors.New("no such host")
	}
	rec := httptest.NewRecorder()
	done := make(chan struct{})
	go func() { defer close(done); h.ServeHTTP(rec, r) }()
	select {
	case <-done:
		return rec.Result(), nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// v1Signer signs what no test here reads.
type v1Signer struct{}

func (v1Signer) SignTree(merkle.Tree) ([]byte, error)           { return []byte("v1"), nil }
func (v1Signer) SignEntry(int64, int64, []byte) ([]byte, error) { return []byte("v1"), nil }

// checkpointer signs the checkpoints of a party.
type checkpointer struct{ *party }

func (c checkpointer) Checkpoint(t merkle.Tree) ([]byte, error) {
	return checkpoint.SignNote(checkpoint.Checkpoint{Origin: c.origin, Tree: t}, c.signer)
}

// replica is a log as an Asker sees it.
type replica struct{ *log.Log }

func (r replica) Consistency(ctx context.Context, first, last int64) ([]merkle.Hash, error) {
	p, _, err := r.Log.Consistency(ctx, first, last)
	return p, err
}

func (r replica) Published(ctx context.Context) ([]byte, error) {
	p, err := r.Log.Published(ctx)
	return p.Note, err
}

func openLog(t testing.TB, p *party, s log.Store, create bool) replica {
	t.Helper()
	id := log.Identity{Origin: p.origin, TreeID: 7}
	if create {
		if err := log.Create(t.Context(), s, id, v1Signer{}, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	l, err := log.Open(t.Context(), s, log.Options{Identity: id, Signer: v1Signer{}, Checkpointer: checkpointer{p}, Witnessed: true})
	if err != nil {
		t.Fatal(err)
	}
	return replica{l}
}

func (r replica) add(t testing.TB, from, count int) {
	t.Helper()
	for i := range count {
		if _, err := r.Add(t.Context(), log.Leaf{Body: fmt.Append(nil, "leaf ", from+i), NoPromise: true}); err != nil {
			t.Fatal(err)
		}
	}
}

// published checks what a log publishes, and returns the names of those who
// have signed it, in order.
func (r replica) published(t testing.TB, p *checkpoint.Policy, size int64) string {
	t.Helper()
	pub, err := r.Log.Published(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if pub.Tree.Size != size || !pub.Cosigned {
		t.Fatalf("published size %d, cosigned: %t; want %d", pub.Tree.Size, pub.Cosigned, size)
	}
	if _, err := p.Check(pub.Note); err != nil {
		t.Fatal(err)
	}
	_, sigs, err := checkpoint.Parse(pub.Note)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range sigs {
		names = append(names, s.Name)
	}
	return strings.Join(names, " ")
}

// A scene is a log with witnesses, in one bubble of time.
type scene struct {
	t       *testing.T
	party   *party
	store   *memory.Store
	log     replica
	net     network
	states  map[string]*memory.Store // of the witnesses
	keys    map[string]*checkpoint.Cosigner
	counts  map[string]*counted
	policy  *checkpoint.Policy
	end     context.CancelFunc
	results sync.WaitGroup

	mu     sync.Mutex
	alarms []*witness.ContradictionError
	err    error // of the Asker
}

// outcome returns how many alarms there were and what the Asker ended with.
func (s *scene) outcome() (alarms int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.alarms), s.err
}

// counted counts the requests to a handler, by status.
type counted struct {
	http.Handler
	mu    sync.Mutex
	codes map[int]int
	bad   http.HandlerFunc // if not nil, answers in its place
	slow  time.Duration
}

// answer has h answer in its place; nil takes that back.
func (c *counted) answer(h http.HandlerFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bad = h
}

// wait has each answer take some time.
func (c *counted) wait(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slow = d
}

// count returns how many answers had a status.
func (c *counted) count(code int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.codes[code]
}

func (c *counted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	h, slow := c.Handler, c.slow
	if c.bad != nil {
		h = c.bad
	}
	c.mu.Unlock()
	time.Sleep(slow)
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	c.mu.Lock()
	c.codes[rec.Code]++
	c.mu.Unlock()
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(rec.Code)
	io.Copy(w, rec.Body) //nolint:errcheck // a recorder
}

// newScene makes a log with witnesses a, b and c at hosts of the same name.
// The quorum is a line of the policy.
func newScene(t *testing.T, quorum string) *scene {
	t.Helper()
	s := &scene{
		t: t, party: newParty(t, "log.example"), store: memory.New(), net: network{}, end: func() {},
		states: map[string]*memory.Store{}, keys: map[string]*checkpoint.Cosigner{}, counts: map[string]*counted{},
	}
	text := "log " + s.party.vkey + "\n"
	for _, name := range []string{"a", "b", "c"} {
		s.states[name] = memory.New()
		w, c := newWitness(t, s.states[name], name+".example", newKey(t), s.party)
		s.keys[name] = c
		s.counts[name] = &counted{Handler: w.Handler(nil, nil), codes: map[int]int{}}
		s.net[name+".example"] = s.counts[name]
		text += "witness " + name + " " + c.VKey() + " http://" + name + ".example/\n"
	}
	var err error
	if s.policy, err = checkpoint.ParsePolicy([]byte(text + quorum + "\n")); err != nil {
		t.Fatal(err)
	}
	s.log = openLog(t, s.party, s.store, true)
	return s
}

const (
	twoOfThree = "group g 2 a b c\nquorum g"
	anyOfThree = "group g any a b c\nquorum g"
)

// run starts an Asker for l.
func (s *scene) run(l replica) *witness.Asker {
	s.t.Helper()
	a, err := witness.NewAsker(l, witness.AskOptions{
		Origin: "log.example", Policy: s.policy, Transport: s.net,
		Alarm: func(e *witness.ContradictionError) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.alarms = append(s.alarms, e)
		},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	before := s.end
	s.end = func() { before(); cancel() }
	s.results.Go(func() {
		if err := a.Run(ctx); err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.err = err
		}
	})
	return a
}

// close ends all that runs.
func (s *scene) close(logs ...replica) {
	s.end()
	s.results.Wait()
	for _, l := range append(logs, s.log) {
		l.Close()
	}
}
