package witness

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/merkle"
)

const (
	// askEvery is how often witnesses are asked, if the log has grown.
	askEvery = time.Second
	// askTimeout bounds one request to a witness.
	askTimeout = 5 * time.Second
	// grace is how long a checkpoint with a quorum waits for more lines.
	grace = 200 * time.Millisecond
	// stick is how long a checkpoint is tried before a newer one is, if it
	// does not find its quorum: longer than a request takes, so that a slow
	// witness can be part of one.
	stick = askTimeout + 2*askEvery
	// refreshAfter is how long a log that does not grow goes without new
	// cosignatures, which say how fresh a checkpoint is.
	refreshAfter = time.Hour
	// maxBackoff is the longest pause after failures.
	maxBackoff = time.Minute
	// believeAfter is how many requests in a row a witness must contradict
	// the log without proof until that counts.
	believeAfter = 3
)

// A Log is the log whose checkpoints are to be cosigned. Methods may be
// called concurrently.
type Log interface {
	// Newest returns the newest tree over all replicas, and the checkpoint
	// over it that the log has signed.
	Newest(ctx context.Context) (merkle.Tree, []byte, error)
	// Consistency proves that the tree of size first is a prefix of the tree
	// of size last, 1 ≤ first ≤ last.
	Consistency(ctx context.Context, first, last int64) ([]merkle.Hash, error)
	// Published returns the newest checkpoint that is published, by whichever
	// replica. It may have no cosignatures yet.
	Published(ctx context.Context) ([]byte, error)
	// Publish publishes a checkpoint with a quorum of cosignatures.
	Publish(ctx context.Context, note []byte) error
	// Fail stops the log for good: it contradicts what it said before.
	Fail(err error)
}

// AskOptions say how an Asker asks.
type AskOptions struct {
	Origin string // of the log
	Policy *checkpoint.Policy
	Logger *zap.Logger // nil for none
	// Alarm is told of a contradiction before the log is stopped; it keeps
	// the evidence. Nil for nobody.
	Alarm     func(*ContradictionError)
	Transport http.RoundTripper // nil for the default one
	Now       func() time.Time  // nil for time.Now
}

// An Asker has the checkpoints of a log cosigned: about once a second, beside
// the commits, it asks the witnesses of a policy and publishes the checkpoint
// when the quorum is met. Of several replicas one asks at a time.
//
// If a witness proves that the log was larger or another one before, the
// Asker stops the log.
type Asker struct {
	log       Log
	origin    string
	policy    *checkpoint.Policy
	logger    *zap.Logger
	alarm     func(*ContradictionError)
	now       func() time.Time
	witnesses []*asked
	answers   chan answer
	first     chan struct{} // closed when every witness was asked once
	status    status

	// Of Run alone.
	round     *round                // what is being cosigned; nil for nothing
	published checkpoint.Checkpoint // the newest that we know of
	refreshed time.Time             // when it was
	started   bool                  // there was a round: the first one shows whether the log was set back
	warned    string                // last trouble with the log
}

// A round is the cosigning of one checkpoint.
type round struct {
	tree  merkle.Tree
	note  []byte // by the log alone
	start time.Time
	lines map[string]string // cosignatures by the witness's name in the policy
	due   time.Time         // when to publish, zero if the quorum is not met
	shown int               // how many lines were published
}

// asked is a witness with what is known of it. Of Run alone.
type asked struct {
	checkpoint.PolicyWitness
	client   *client
	size     int64 // of the tree that it has cosigned last, as far as we know
	busy     bool  // a request is under way
	answered bool  // there was an answer of any kind
	after    time.Time
	failures int // in a row
	claims   int // in a row, that it contradicts the log
}

// An answer is what a request to a witness came to.
type answer struct {
	witness *asked
	tree    merkle.Tree // that was to be cosigned
	line    string
	size    int64 // of the tree that the witness has cosigned last; -1 if not known
	err     error
}

// NewAsker returns an Asker for l. It fails if the policy has no log with the
// origin, a witness without a URL, or no quorum.
func NewAsker(l Log, o AskOptions) (*Asker, error) {
	a := &Asker{
		log: l, origin: o.Origin, policy: o.Policy, logger: o.Logger, alarm: o.Alarm, now: o.Now,
		answers: make(chan answer), first: make(chan struct{}),
	}
	if a.logger == nil {
		a.logger = zap.NewNop()
	}
	if a.alarm == nil {
		a.alarm = func(*ContradictionError) {}
	}
	if a.now == nil {
		a.now = time.Now
	}
	known := false
	for _, k := range o.Policy.Logs() {
		known = known || k.Verifier.Name() == o.Origin
	}
	if !known {
		return nil, fmt.Errorf("the policy has no key of the log %q", o.Origin)
	}
	if o.Policy.Met(func(string) bool { return false }) {
		return nil, errors.New("the policy asks for no cosignature (quorum none), so there is nothing to wait for")
	}
	for _, w := range o.Policy.Witnesses() {
		if w.URL == "" {
			return nil, fmt.Errorf("the policy has no URL for witness %q", w.Name)
		}
		c, err := newClient(w.URL, w.Verifier, o.Transport, a.now)
		if err != nil {
			return nil, fmt.Errorf("witness %q: %w", w.Name, err)
		}
		a.witnesses = append(a.witnesses, &asked{PolicyWitness: w, client: c})
	}
	a.status.init(a.witnesses)
	return a, nil
}

// First is closed when each witness has been asked once and has answered, or
// has not in time, and when Run ends: see Status.Stopped. One that contradicts
// the log without proof is asked as often as it takes to believe that.
func (a *Asker) First() <-chan struct{} { return a.first }

// Run asks until ctx ends, or until a witness contradicts the log: it then
// returns a ContradictionError.
func (a *Asker) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	under := 0 // requests under way
	defer func() {
		cancel()
		for ; under > 0; under-- {
			<-a.answers
		}
		a.firstDone(true)
	}()
	ask := func() {
		if a.round == nil {
			return
		}
		for _, w := range a.witnesses {
			if w.busy || a.round.lines[w.Name] != "" || a.now().Before(w.after) {
				continue
			}
			w.busy = true
			under++
			old, tree, note := w.size, a.round.tree, a.round.note
			go func() { a.answers <- a.ask(ctx, w, old, tree, note) }()
		}
	}
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	due := time.NewTimer(0)
	defer due.Stop()
	a.turn(ctx)
	ask()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			a.turn(ctx)
			ask()
		case <-due.C:
		case got := <-a.answers:
			under--
			if err := a.take(ctx, got); err != nil {
				a.status.stop(err)
				a.alarm(err)
				a.log.Fail(err)
				return err
			}
		}
		if r := a.round; r != nil && !r.due.IsZero() {
			if d := r.due.Sub(a.now()); d > 0 {
				due.Reset(d)
			} else {
				a.publish(ctx)
			}
		}
	}
}

// turn decides at each tick what is to be cosigned: the same checkpoint as
// before, the newest one, or nothing.
func (a *Asker) turn(ctx context.Context) {
	// 1. Is another replica at work? Then this is its turn: each of its
	// publications is followed by a pause of ours.
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	note, err := a.log.Published(ctx)
	if err != nil {
		a.warn("witnesses: read what is published", err)
		return
	}
	c, err := a.policy.Check(note)
	enough := err == nil
	if enough && c.Tree.Size > a.published.Tree.Size || a.refreshed.IsZero() && enough {
		others := !a.refreshed.IsZero()
		a.published, a.refreshed = c, a.now()
		a.status.publish(c.Tree.Size, a.now())
		a.learn(note, c.Tree.Size)
		if others {
			a.round = nil
			return
		}
	}

	// 2. Go on with a checkpoint that has no quorum yet, or one that has and
	// misses lines while there is nothing newer.
	tree, note, err := a.log.Newest(ctx)
	if err != nil {
		a.warn("witnesses: read the newest checkpoint", err)
		return
	}
	a.warned = ""
	if r := a.round; r != nil {
		age := a.now().Sub(r.start)
		if r.tree == tree && age < refreshAfter || r.shown == 0 && age < stick {
			return
		}
	} else if a.started && tree == a.published.Tree && a.now().Sub(a.refreshed) < refreshAfter {
		return
	}
	a.started = true
	a.status.wait(a.now())
	a.round = &round{tree: tree, note: note, start: a.now(), lines: make(map[string]string)}
}

// warn logs that the log cannot be read, once and not at each turn.
func (a *Asker) warn(what string, err error) {
	if err.Error() != a.warned {
		a.logger.Warn(what, zap.Error(err))
	}
	a.warned = err.Error()
}

// take records an answer. It returns an error if the log must stop.
func (a *Asker) take(ctx context.Context, got answer) *ContradictionError {
	w := got.witness
	w.busy, w.answered = false, true
	if got.size >= 0 {
		w.size = got.size
	}
	defer a.firstDone(false)
	var contradiction *ContradictionError
	var status *StatusError
	switch {
	case got.err == nil:
		w.failures, w.claims, w.after = 0, 0, time.Time{}
		if r := a.round; r != nil && r.tree == got.tree {
			r.lines[w.Name] = got.line
			a.count(r)
		}
	case errors.Is(got.err, errAhead):
		// Not its fault: the next round has a larger tree, and may be at once.
		w.failures, w.claims = 0, 0
		if r := a.round; r != nil && r.tree == got.tree {
			r.start = time.Time{}
		}
	case ctx.Err() != nil:
		return nil
	default:
		w.failures++
		pause := min(askEvery<<min(w.failures-1, 10), maxBackoff)
		if errors.As(got.err, &status) && status.Pause > pause {
			pause = status.Pause
		}
		w.after = a.now().Add(pause)
		level := a.logger.Warn
		if errors.As(got.err, &contradiction) {
			w.claims++
			level = a.logger.Error
			if w.claims < believeAfter {
				w.after = time.Time{} // it should soon be known what to believe
			}
		}
		if w.failures&(w.failures-1) == 0 { // not each time
			level("witness did not cosign", zap.String("witness", w.Name), zap.String("url", w.URL),
				zap.Int("failures", w.failures), zap.Error(got.err))
		}
	}
	a.status.answer(w.Name, w.size, got.err, a.now())
	if contradiction == nil {
		return nil
	}
	if contradiction.Proof != nil {
		return contradiction
	}
	// Nothing but words. They count if the policy cannot be met without the
	// witnesses that say so: one alone should not stop the log by a lie,
	// unless the operator has given it the power to.
	if a.policy.Met(func(name string) bool {
		for _, w := range a.witnesses {
			if w.Name == name {
				return w.claims < believeAfter
			}
		}
		return false
	}) {
		return nil
	}
	return contradiction
}

// count sets when a round is published, if it has its quorum.
func (a *Asker) count(r *round) {
	if !a.policy.Met(func(name string) bool { return r.lines[name] != "" }) {
		return
	}
	waiting := false
	for _, w := range a.witnesses {
		waiting = waiting || w.busy
	}
	switch {
	case !waiting || r.shown > 0:
		r.due = a.now()
	case r.due.IsZero():
		r.due = a.now().Add(grace)
	}
}

// publish publishes the round with the lines that it has.
func (a *Asker) publish(ctx context.Context) {
	r := a.round
	r.due = time.Time{}
	msg := append([]byte{}, r.note...)
	for _, w := range a.witnesses {
		msg = append(msg, r.lines[w.Name]...)
	}
	c, err := a.policy.Check(msg)
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		err = a.log.Publish(ctx, msg)
	}
	if err != nil {
		r.due = a.now().Add(askEvery) // again
		a.logger.Error("witnesses: publish a checkpoint", zap.Int64("size", r.tree.Size), zap.Error(err))
		return
	}
	r.shown = len(r.lines)
	a.published, a.refreshed = c, a.now()
	a.status.publish(c.Tree.Size, a.now())
}

// firstDone closes first when each witness has had its say, or all is over.
func (a *Asker) firstDone(over bool) {
	if !over && slices.ContainsFunc(a.witnesses, func(w *asked) bool { return !w.answered || 0 < w.claims && w.claims < believeAfter }) {
		return
	}
	select {
	case <-a.first:
	default:
		close(a.first)
	}
}
