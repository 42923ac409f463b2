package api_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/cairnlog/cairn/api"
	"github.com/cairnlog/cairn/api/apitest"
	v1 "github.com/cairnlog/cairn/api/v1"
	v2 "github.com/cairnlog/cairn/api/v2"
	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/storage/memory"
)

// witnessed starts a server over a log that publishes what cosign says.
func witnessed(t *testing.T) (*apitest.Server, *log.Log, func(log.Head)) {
	t.Helper()
	key := apitest.NewKey(t)
	store := memory.New()
	apitest.NewLog(t, key, store) // creates it
	keyID, err := checkpoint.KeyID(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	signer, err := v1.NewSigner(key, apitest.Origin, apitest.TreeID)
	if err != nil {
		t.Fatal(err)
	}
	author := apitest.NewAuthor(t)
	l, err := log.Open(t.Context(), store, log.Options{
		Identity: log.Identity{Origin: apitest.Origin, TreeID: apitest.TreeID, KeyID: keyID}, Signer: signer, Checkpointer: author, Witnessed: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	witness, err := checkpoint.NewCosigner("witness.example", apitest.CheckpointKey(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	publish := func(h log.Head) {
		msg, err := author.Checkpoint(h.Tree)
		if err != nil {
			t.Fatal(err)
		}
		_, n, err := checkpoint.OpenNote(msg, apitest.Origin, author.Verifiers()...)
		if err != nil {
			t.Fatal(err)
		}
		if msg, err = note.Sign(n, witness); err != nil {
			t.Fatal(err)
		}
		if err := l.Publish(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
	}
	return apitest.ServeKey(t, key, api.Options{Log: l}), l, publish
}

const witnessLine = "\n— witness.example "

func TestCosignedV2(t *testing.T) {
	t.Parallel()
	s, l, publish := witnessed(t)
	head := func() log.Head {
		h, err := l.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	// 1. An upload does not wait for witnesses.
	first, _, _ := request2(t)
	a := post2(t, s, "", first)
	if a.StatusCode != 201 || bytes.Contains(a.entry.Checkpoint, []byte(witnessLine)) {
		t.Fatalf("%d %s", a.StatusCode, a.raw)
	}
	// 2. Unless it is told to.
	second, _, _ := request2(t)
	done := make(chan answer2, 1)
	go func() { done <- post2(t, s, "?wait=cosigned", second) }()
	for head().Tree.Size < 2 {
		time.Sleep(time.Millisecond)
	}
	third, _, _ := request2(t)
	at := head()
	post2(t, s, "", third) // the tree goes on
	publish(at)
	b := <-done
	if b.StatusCode != 201 || !bytes.Contains(b.entry.Checkpoint, []byte(witnessLine)) || b.entry.Tree != at.Tree || b.entry.Index != 1 {
		t.Errorf("%d %s", b.StatusCode, b.raw)
	}
	// 3. What was there before is proven in the newest cosigned tree that has it.
	for _, tt := range []struct {
		name, body string
		size       int64
		cosigned   bool
	}{
		{"first", first, 2, true}, {"second", second, 2, true}, {"third", third, 3, false},
	} {
		d := post2(t, s, "", tt.body, "Prefer", "return=representation")
		if d.StatusCode != 201 || d.entry.Tree.Size != tt.size || bytes.Contains(d.entry.Checkpoint, []byte(witnessLine)) != tt.cosigned {
			t.Errorf("%s: %d %s", tt.name, d.StatusCode, d.raw)
		}
	}
	// 4. A published tree that has the entry is answered at once.
	publish(head())
	if d := post2(t, s, "?wait=cosigned", third, "Prefer", "return=representation"); d.StatusCode != 201 || !bytes.Contains(d.entry.Checkpoint, []byte(witnessLine)) {
		t.Errorf("%d %s", d.StatusCode, d.raw)
	}
	// 5. A duplicate that is not asked for whole does not wait either.
	if d := post2(t, s, "?wait=cosigned", third); d.StatusCode != 409 {
		t.Errorf("%d %s", d.StatusCode, d.raw)
	}
}

// TestWitnessesAsleepV2 waits for witnesses that do not answer: the entry is
// in the log all the same, and the answer says so.
func TestWitnessesAsleepV2(t *testing.T) {
	t.Parallel()
	key := apitest.NewKey(t)
	l := &asleep{Log: apitest.NewLog(t, key, nil)}
	s := apitest.ServeKey(t, key, api.Options{Log: l})
	for name, err := range map[string]error{"time is up": context.DeadlineExceeded, "too many wait": fmt.Errorf("wait: %w", log.ErrWaiting)} {
		l.err = err
		body, _, _ := request2(t)
		if a := post2(t, s, "?wait=cosigned", body); a.StatusCode != 201 {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.raw)
		}
	}
	l.err = log.ErrClosed
	body, _, _ := request2(t)
	if a := post2(t, s, "?wait=cosigned", body); a.StatusCode != 503 || a.status.Code != v2.CodeUnavailable {
		t.Errorf("the log closes: %d %s", a.StatusCode, a.raw)
	}
}

type asleep struct {
	*log.Log
	err error
}

func (l *asleep) WaitPublished(context.Context, int64) (log.Published, error) {
	return log.Published{}, l.err
}

// TestLargeBodiesV2 has more uploads with large bodies wait for witnesses than
// there is memory for large bodies: that is about reading them.
func TestLargeBodiesV2(t *testing.T) {
	t.Parallel()
	key := apitest.NewKey(t)
	l := &patient{Log: apitest.NewLog(t, key, nil), entered: make(chan struct{}), leave: make(chan struct{})}
	s := apitest.ServeKey(t, key, api.Options{Log: l, MaxBody: 1 << 20})
	const uploads = 8
	done := make(chan answer2, uploads)
	waiting := 0
	for range uploads {
		body, _, _ := request2(t)
		go func() { done <- post2(t, s, "?wait=cosigned", body+strings.Repeat(" ", 1000<<10)) }()
		select {
		case <-l.entered:
			waiting++
		case a := <-done:
			t.Errorf("%d %s", a.StatusCode, a.raw)
		}
	}
	close(l.leave)
	for range waiting {
		if a := <-done; a.StatusCode != 201 {
			t.Fatalf("%d %s", a.StatusCode, a.raw)
		}
	}
}

// A patient log says who waits for witnesses, and for how long.
type patient struct {
	*log.Log
	entered, leave chan struct{}
}

func (l *patient) WaitPublished(context.Context, int64) (log.Published, error) {
	l.entered <- struct{}{}
	<-l.leave
	return log.Published{}, log.ErrWaiting
}
