package witness_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"

	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/merkle"
	"github.com/cairnlog/cairn/sign"
	"github.com/cairnlog/cairn/storage/memory"
	"github.com/cairnlog/cairn/witness"
)

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A party is a log, or somebody who says to be it.
type party struct {
	origin string
	signer note.Signer
	vkey   string
}

func newParty(t testing.TB, origin string) *party {
	t.Helper()
	key := newKey(t)
	s, err := checkpoint.NewNoteSigner(origin, key)
	if err != nil {
		t.Fatal(err)
	}
	vkey, err := checkpoint.VKey(origin, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return &party{origin, s, vkey}
}

func (p *party) verifier(t testing.TB) note.Verifier {
	t.Helper()
	v, err := checkpoint.ParseVKey(p.vkey)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (p *party) note(t testing.TB, tree merkle.Tree, more ...note.Signer) []byte {
	t.Helper()
	b, err := checkpoint.SignNote(checkpoint.Checkpoint{Origin: p.origin, Tree: tree}, append([]note.Signer{p.signer}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A history is a log's leaves: those of branch differ from the fork on.
type history struct {
	edge   *merkle.Edge
	prover *merkle.Prover
}

// grow returns a history of less than 256 leaves.
func grow(size, fork int, branch string) history {
	e := merkle.NewEdge()
	for i := range size {
		leaf := fmt.Sprint("leaf ", i)
		if i >= fork {
			leaf += branch
		}
		e.Append(merkle.HashLeaf([]byte(leaf)))
	}
	e.Tree()
	return history{e, merkle.NewProver(nil, 16)}
}

func (h history) tree(t testing.TB, size int64) merkle.Tree {
	t.Helper()
	if size == 0 {
		return merkle.Tree{Root: merkle.EmptyRoot}
	}
	root, err := h.prover.Root(context.Background(), h.edge, size)
	if err != nil {
		t.Fatal(err)
	}
	return merkle.Tree{Size: size, Root: root}
}

func (h history) proof(t testing.TB, first, last int64) []merkle.Hash {
	t.Helper()
	if first == 0 || first == last {
		return nil
	}
	p, err := h.prover.Consistency(context.Background(), h.edge, first, last)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newWitness(t testing.TB, s witness.Store, name string, key ed25519.PrivateKey, logs ...*party) (*witness.Witness, *checkpoint.Cosigner) {
	t.Helper()
	c, err := checkpoint.NewCosigner(name, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	o := witness.Options{Store: s, Cosigner: c, Rate: 1e6}
	for _, l := range logs {
		o.Logs = append(o.Logs, l.verifier(t))
	}
	w, err := witness.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return w, c
}

func send(t testing.TB, h http.Handler, body []byte) *http.Response {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/add-checkpoint", strings.NewReader(string(body)))
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec.Result()
}

func text(t testing.TB, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestStatuses goes through what a witness answers, in turn: a step with 200
// moves it on, no other one does.
func TestStatuses(t *testing.T) {
	t.Parallel()
	log, stranger := newParty(t, "log.example"), newParty(t, "log.example")
	unknown := newParty(t, "unknown.example")
	second := newParty(t, "log.example") // its other key
	w, cosigner := newWitness(t, memory.New(), "witness.example", newKey(t), log, second)
	h := w.Handler(nil, nil)
	main, other := grow(40, 40, ""), grow(40, 7, "fork")
	tree := func(size int64) merkle.Tree { return main.tree(t, size) }
	bad := tree(0)
	bad.Root[0]++
	hash := merkle.HashLeaf(nil)

	req := func(old int64, proof []merkle.Hash, note []byte) []byte {
		return witness.Request{Old: old, Proof: proof, Note: note}.Body()
	}
	raw := func(f string, a ...any) []byte { return fmt.Appendf(nil, f, a...) }
	good := log.note(t, tree(10))
	many := func(n int) []merkle.Hash {
		p := make([]merkle.Hash, n)
		for i := range p {
			p[i] = hash
		}
		return p
	}
	size := int64(-1) // what is cosigned last
	for _, step := range []struct {
		name   string
		body   []byte
		status int
		size   int64 // after it
	}{
		{"root of no entries that is another", req(0, nil, log.note(t, bad)), 422, -1},
		{"empty tree", req(0, nil, log.note(t, tree(0))), 200, 0},
		{"empty tree again", req(0, nil, log.note(t, tree(0))), 200, 0},
		{"not at zero", req(5, main.proof(t, 5, 10), good), 409, 0},
		{"proof from zero", req(0, many(1), good), 422, 0},
		{"first", req(0, nil, good), 200, 10},
		{"out of date", req(0, nil, log.note(t, tree(12))), 409, 10},
		{"same again", req(10, nil, good), 200, 10},
		{"same with a proof", req(10, many(1), good), 422, 10},
		{"same size, other root", req(10, nil, log.note(t, other.tree(t, 10))), 422, 10},
		{"older", req(10, nil, log.note(t, tree(9))), 400, 10},
		{"older, by its own old size", req(8, main.proof(t, 8, 9), log.note(t, tree(9))), 409, 10},
		{"no proof", req(10, nil, log.note(t, tree(20))), 422, 10},
		{"wrong proof", req(10, main.proof(t, 9, 20), log.note(t, tree(20))), 422, 10},
		{"proof with too much", req(10, append(main.proof(t, 10, 20), hash), log.note(t, tree(20))), 422, 10},
		{"fork with its own proof", req(10, other.proof(t, 10, 20), log.note(t, other.tree(t, 20))), 422, 10},
		{"by a stranger of that name", req(10, main.proof(t, 10, 20), stranger.note(t, tree(20))), 403, 10},
		{"by nobody", req(10, main.proof(t, 10, 20), []byte(strings.Replace(string(log.note(t, tree(20))), "log.example ", "x ", 1))), 403, 10},
		{"unknown log", req(0, nil, unknown.note(t, tree(20))), 404, 10},
		{"signature of another checkpoint", req(10, main.proof(t, 10, 20), []byte(strings.Replace(string(good), "\n10\n", "\n20\n", 1))), 403, 10},
		{"with lines of others", req(10, main.proof(t, 10, 20), log.note(t, tree(20), stranger.signer, unknown.signer)), 200, 20},
		{"with a forged line of its own", req(20, main.proof(t, 20, 30), log.note(t, tree(30), forged{cosigner})), 200, 30},
		{"by its other key", req(30, main.proof(t, 30, 33), second.note(t, tree(33))), 200, 33},
		{"nothing", nil, 400, 33},
		{"no old", raw("new 33\n\n%s", good), 400, 33},
		{"old without number", raw("old \n\n%s", good), 400, 33},
		{"old with zeros in front", raw("old 033\n\n%s", log.note(t, tree(33))), 400, 33},
		{"old negative", raw("old -33\n\n%s", log.note(t, tree(33))), 400, 33},
		{"old past 63 bits", raw("old 9223372036854775808\n\n%s", log.note(t, tree(33))), 400, 33},
		{"two spaces", raw("old  33\n\n%s", log.note(t, tree(33))), 400, 33},
		{"carriage returns", raw("old 33\r\n\r\n%s", log.note(t, tree(33))), 400, 33},
		{"no blank line", raw("old 33\n%s", log.note(t, tree(33))), 400, 33},
		{"hash too short", raw("old 33\nAAAA\n\n%s", log.note(t, tree(34))), 400, 33},
		{"hash in URL alphabet", raw("old 33\n%s\n\n%s", strings.Repeat("_", 43)+"=", log.note(t, tree(34))), 400, 33},
		{"hash with bits under the padding", raw("old 33\n%s\n\n%s", strings.Repeat("A", 42)+"B=", log.note(t, tree(34))), 400, 33},
		{"no checkpoint", raw("old 33\n\n"), 400, 33},
		{"checkpoint without signature", raw("old 33\n\nlog.example\n34\n%s\n", base64.StdEncoding.EncodeToString(hash[:])), 400, 33},
		{"not UTF-8", raw("old 33\n\n\xff%s", log.note(t, tree(34))), 400, 33},
		{"64 hashes", req(33, many(64), log.note(t, tree(34))), 400, 33},
		{"63 hashes", req(33, many(63), log.note(t, tree(34))), 422, 33},
		{"note too large", req(33, nil, append(log.note(t, tree(34)), strings.Repeat("x", 64<<10)...)), 400, 33},
		{"request too large", req(33, nil, append(log.note(t, tree(34)), strings.Repeat("x", 1<<20)...)), 413, 33},
		{"101 lines", req(33, main.proof(t, 33, 34), append(log.note(t, tree(34)), strings.Repeat("— x AAAAAAA=\n", 100)...)), 400, 33},
		{"and on", req(33, main.proof(t, 33, 40), log.note(t, tree(40))), 200, 40},
	} {
		r := send(t, h, step.body)
		got := text(t, r)
		if r.StatusCode != step.status {
			t.Errorf("%s: status %d, want %d: %s", step.name, r.StatusCode, step.status, got)
		}
		if r.StatusCode == 409 && (r.Header.Get("Content-Type") != "text/x.tlog.size" || got != fmt.Sprintf("%d\n", max(size, 0))) {
			t.Errorf("%s: 409 with %s %q, want %d", step.name, r.Header.Get("Content-Type"), got, size)
		}
		if r.StatusCode == 200 {
			req, err := witness.ParseRequest(step.body)
			if err != nil {
				t.Fatal(err)
			}
			own, _, _ := strings.Cut(string(req.Note), "\n\n")
			n, err := note.Open([]byte(own+"\n\n"+got), note.VerifierList(cosigner.Verifier()))
			if err != nil || len(n.Sigs) != 1 || len(n.UnverifiedSigs) != 0 {
				t.Errorf("%s: cosignature %q: %v", step.name, got, err)
			}
		}
		size = step.size
		latest, err := w.Latest(t.Context(), "log.example")
		if size < 0 {
			if !errors.Is(err, witness.ErrUnknownLog) {
				t.Errorf("%s: latest %q, %v, want none", step.name, latest, err)
			}
			continue
		}
		n, err := note.Open(latest, note.VerifierList(cosigner.Verifier(), log.verifier(t), second.verifier(t)))
		if err != nil || len(n.Sigs) != 2 || len(n.UnverifiedSigs) != 0 || !strings.HasPrefix(n.Text, fmt.Sprintf("log.example\n%d\n", size)) {
			t.Fatalf("%s: latest is\n%s\nwant size %d: %v", step.name, latest, size, err)
		}
	}
}

// forged signs under a cosigner's name and hash, wrongly.
type forged struct{ *checkpoint.Cosigner }

func (forged) Sign([]byte) ([]byte, error) { return make([]byte, 72), nil }

func TestLatest(t *testing.T) {
	t.Parallel()
	log := newParty(t, "log.example")
	w, _ := newWitness(t, memory.New(), "witness.example", newKey(t), log)
	h := w.Handler(nil, nil)
	get := func(method, path string) *http.Response {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(method, path, nil))
		return rec.Result()
	}
	const sum = "3cb73ba2bb0e5a24f03e3f6cbb2e9e5d2b9a9d8a3c8a1a5b5c5f5d0e0c0b0a09" // of nothing that is known
	path := "/" + fmt.Sprintf("%x", sha256.Sum256([]byte("log.example"))) + "/checkpoint"
	if r := get("GET", path); r.StatusCode != 404 {
		t.Errorf("before the first: %d", r.StatusCode)
	}
	if r := send(t, h, witness.Request{Note: log.note(t, grow(3, 3, "").tree(t, 3))}.Body()); r.StatusCode != 200 {
		t.Fatal(r.Status)
	}
	r := get("GET", path)
	if r.StatusCode != 200 || r.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("%d, %s", r.StatusCode, r.Header.Get("Content-Type"))
	}
	if got, _ := w.Latest(t.Context(), "log.example"); text(t, r) != string(got) {
		t.Error("another checkpoint than the latest")
	}
	for name, c := range map[string]struct {
		method, path string
		status       int
	}{
		"unknown log":       {"GET", "/" + sum + "/checkpoint", 404},
		"capitals":          {"GET", strings.ToUpper(path[:65]) + "/checkpoint", 404},
		"too short":         {"GET", path[:64] + "/checkpoint", 404},
		"too long":          {"GET", path[:65] + "00/checkpoint", 404},
		"not hex":           {"GET", "/" + strings.Repeat("x", 64) + "/checkpoint", 404},
		"something else":    {"GET", "/", 404},
		"post":              {"POST", path, 405},
		"get of the method": {"GET", "/add-checkpoint", 405},
		"health":            {"GET", "/healthz", 200},
	} {
		if r := get(c.method, c.path); r.StatusCode != c.status {
			t.Errorf("%s: %d, want %d", name, r.StatusCode, c.status)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	c, err := checkpoint.NewCosigner("witness.example", newKey(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	log := newParty(t, "log.example")
	for name, logs := range map[string][]note.Verifier{
		"own name":      {newParty(t, "witness.example").verifier(t)},
		"one key twice": {log.verifier(t), log.verifier(t)},
	} {
		if _, err := witness.New(witness.Options{Store: memory.New(), Cosigner: c, Logs: logs}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestRate asks more often than one log may, which another log does not feel.
func TestRate(t *testing.T) {
	t.Parallel()
	a, b, stranger := newParty(t, "a.example"), newParty(t, "b.example"), newParty(t, "a.example")
	c, err := checkpoint.NewCosigner("witness.example", newKey(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	w, err := witness.New(witness.Options{Store: memory.New(), Cosigner: c, Logs: []note.Verifier{a.verifier(t), b.verifier(t)}, Rate: 0.001})
	if err != nil {
		t.Fatal(err)
	}
	var seen []witness.Handled
	h := w.Handler(nil, func(r witness.Handled) { seen = append(seen, r) })
	tree := grow(3, 3, "").tree(t, 3)
	for i, want := range []struct {
		by     *party
		status int
	}{{stranger, 403}, {stranger, 403}, {a, 200}, {a, 429}, {stranger, 403}, {b, 200}, {b, 429}} {
		r := send(t, h, witness.Request{Note: want.by.note(t, tree)}.Body())
		if r.StatusCode != want.status {
			t.Errorf("request %d: %d, want %d", i, r.StatusCode, want.status)
		}
		if r.StatusCode == 429 && r.Header.Get("Retry-After") == "" {
			t.Error("429 without Retry-After")
		}
	}
	if len(seen) != 7 || seen[3].Status != 429 || seen[3].Origin != "a.example" {
		t.Errorf("observed %+v", seen)
	}
}

// TestConcurrentAdd sends many checkpoints of two histories at once, through
// witnesses that share a store: what they sign is one history.
func TestConcurrentAdd(t *testing.T) {
	t.Parallel()
	log := newParty(t, "log.example")
	s, key := memory.New(), newKey(t)
	histories := []history{grow(100, 100, ""), grow(100, 30, "fork")}
	var mu sync.Mutex
	var signed []merkle.Tree
	var wg sync.WaitGroup
	for i := range 8 {
		w, _ := newWitness(t, s, "witness.example", key, log)
		h := histories[i%2]
		wg.Go(func() {
			old := int64(0)
			for n := range int64(100) {
				tree := h.tree(t, min(n+1, 100))
				_, err := w.Add(t.Context(), witness.Request{Old: old, Proof: h.proof(t, old, max(old, tree.Size)), Note: log.note(t, tree)})
				var stale *witness.StaleError
				switch {
				case err == nil:
					old = tree.Size
					mu.Lock()
					signed = append(signed, tree)
					mu.Unlock()
				case errors.As(err, &stale):
					old = stale.Size
				case errors.Is(err, witness.ErrInconsistent), errors.Is(err, witness.ErrMalformed), errors.Is(err, witness.ErrBusy):
				default:
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if len(signed) < 10 {
		t.Errorf("signed %d only", len(signed))
	}
	oneHistory(t, signed, histories)
}

// oneHistory checks that trees all belong to one of the histories.
func oneHistory(t interface{ Fatalf(string, ...any) }, trees []merkle.Tree, histories []history) {
	for _, h := range histories {
		whole := true
		for _, tree := range trees {
			root, err := h.prover.Root(context.Background(), h.edge, max(tree.Size, 1))
			if err != nil {
				t.Fatalf("%v", err)
			}
			whole = whole && (tree.Size == 0 && tree.Root == merkle.EmptyRoot || tree.Size > 0 && root == tree.Root)
		}
		if whole {
			return
		}
	}
	t.Fatalf("signed trees of more than one history: %v", trees)
}

// A crashing store loses its process at a moment that the test chooses.
type crashing struct {
	witness.Store
	at string // "", "before" or "after" it writes
}

var errCrash = errors.New("the process is gone")

func (c *crashing) Witness(ctx context.Context, origin string, old, msg []byte) (bool, error) {
	switch c.at {
	case "before":
		return false, errCrash
	case "after":
		c.Store.Witness(ctx, origin, old, msg) //nolint:errcheck // nobody is there to hear
		return false, errCrash
	}
	return c.Store.Witness(ctx, origin, old, msg)
}

// TestNeverTwoHistories plays a log with several histories against a witness
// that crashes at times. The log may ask for anything with valid signatures
// and proofs; all that is ever signed must lie on one history, and sizes must
// not go back.
func TestNeverTwoHistories(t *testing.T) {
	t.Parallel()
	histories := []history{grow(60, 60, ""), grow(60, 20, "a"), grow(60, 40, "b"), grow(60, 0, "c")}
	log := newParty(t, "log.example")
	key := newKey(t)
	rapid.Check(t, func(rt *rapid.T) {
		s := &crashing{Store: memory.New()}
		w, _ := newWitness(t, s, "witness.example", key, log)
		var signed []merkle.Tree
		last := int64(0)
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			h := rapid.SampledFrom(histories).Draw(rt, "history")
			size := rapid.Int64Range(0, 60).Draw(rt, "size")
			old := rapid.Int64Range(0, size).Draw(rt, "old")
			if rapid.Bool().Draw(rt, "knows") {
				old = min(last, size)
			}
			s.at = rapid.SampledFrom([]string{"", "", "before", "after"}).Draw(rt, "crash")
			_, err := w.Add(context.Background(), witness.Request{Old: old, Proof: h.proof(t, old, size), Note: log.note(t, h.tree(t, size))})
			var stale *witness.StaleError
			switch {
			case err == nil:
				if size < last {
					rt.Fatalf("signed size %d after %d", size, last)
				}
				signed, last = append(signed, h.tree(t, size)), size
			case errors.As(err, &stale):
				last = stale.Size
			}
			if errors.Is(err, errCrash) { // and starts again
				w, _ = newWitness(t, s, "witness.example", key, log)
			}
		}
		oneHistory(rt, signed, histories)
	})
}

func FuzzParseRequest(f *testing.F) {
	h := merkle.HashLeaf(nil)
	f.Add(witness.Request{Old: 5, Proof: []merkle.Hash{h, h}, Note: []byte("log.example\n7\n")}.Body())
	f.Add([]byte("old 0\n\n"))
	f.Add([]byte("old 1\nAAAA\n\nx"))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := witness.ParseRequest(body)
		if err != nil {
			return
		}
		if string(r.Body()) != string(body) {
			t.Errorf("%q is read as %q", body, r.Body())
		}
	})
}

// TestKeyTypes cosigns for logs with each type of key.
func TestKeyTypes(t *testing.T) {
	t.Parallel()
	tree := grow(3, 3, "").tree(t, 3)
	for _, typ := range []sign.Type{sign.Ed25519, sign.ECDSA, sign.MLDSA44} {
		key, err := sign.NewKey(typ)
		if err != nil {
			t.Fatal(err)
		}
		author, err := checkpoint.NewAuthor("log.example", key)
		if err != nil {
			t.Fatal(err)
		}
		msg, err := author.Checkpoint(tree)
		if err != nil {
			t.Fatal(err)
		}
		c, err := checkpoint.NewCosigner("witness.example", newKey(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		w, err := witness.New(witness.Options{Store: memory.New(), Cosigner: c, Logs: author.Verifiers()})
		if err != nil {
			t.Fatal(err)
		}
		line, err := w.Add(t.Context(), witness.Request{Note: msg})
		if err != nil {
			t.Errorf("%s: %v", typ, err)
			continue
		}
		if n, err := note.Open(append(msg, line...), note.VerifierList(append(author.Verifiers(), c.Verifier())...)); err != nil || len(n.Sigs) != 2 {
			t.Errorf("%s: %v", typ, err)
		}
	}
}

// TestTooManyAtOnce has more requests under way than a witness works on.
func TestTooManyAtOnce(t *testing.T) {
	t.Parallel()
	log := newParty(t, "log.example")
	s := &stuck{Store: memory.New(), enter: make(chan struct{}, 100), leave: make(chan struct{})}
	w, _ := newWitness(t, s, "witness.example", newKey(t), log)
	h := w.Handler(nil, nil)
	body := witness.Request{Note: log.note(t, grow(3, 3, "").tree(t, 3))}.Body()
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() { send(t, h, body) })
		<-s.enter
	}
	if r := send(t, h, body); r.StatusCode != 503 || r.Header.Get("Retry-After") == "" {
		t.Errorf("%s", r.Status)
	}
	close(s.leave)
	wg.Wait()
	if r := send(t, h, body); r.StatusCode != 409 {
		t.Errorf("%s afterwards", r.Status)
	}
}

// A stuck store does not answer before it may.
type stuck struct {
	witness.Store
	enter, leave chan struct{}
}

func (s *stuck) Witnessed(ctx context.Context, origin string) ([]byte, error) {
	s.enter <- struct{}{}
	<-s.leave
	return s.Store.Witnessed(ctx, origin)
}
