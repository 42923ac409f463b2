package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/merkle"
	"github.com/cairnlog/cairn/sign"
	"github.com/cairnlog/cairn/storage/storagetest"
	"github.com/cairnlog/cairn/witness"
)

// A runningWitness is a cairn witness in this process.
type runningWitness struct {
	url    string
	policy string // the line for a policy
	log    *buffer
	stop   func() int
}

// startWitness runs cairn witness with these flags, on a port of its own.
func startWitness(t *testing.T, flags ...string) *runningWitness {
	t.Helper()
	ctx, cancel := context.WithCancel(withoutCancel(t))
	r, w := io.Pipe()
	s := &runningWitness{log: new(buffer)}
	code := make(chan int, 1)
	args := append([]string{"cairn", "witness", "--listen", "127.0.0.1:0"}, flags...)
	go func() {
		code <- run(ctx, args, strings.NewReader(""), w, s.log)
		w.Close()
	}()
	s.stop = sync.OnceValue(func() int { cancel(); return <-code })
	t.Cleanup(func() { s.stop() })
	for lines := bufio.NewScanner(r); lines.Scan(); {
		if u, ok := strings.CutPrefix(lines.Text(), "URL "); ok {
			s.url = strings.TrimSpace(u)
		}
		if p, ok := strings.CutPrefix(lines.Text(), "policy "); ok {
			s.policy = strings.TrimSpace(p)
			go io.Copy(io.Discard, r) //nolint:errcheck // a pipe
			return s
		}
	}
	t.Fatalf("cairn witness ended with exit code %d: %s", s.stop(), s.log)
	return nil
}

// initLog makes a log and returns its vkey.
func initLog(t *testing.T, data, origin string, flags ...string) string {
	t.Helper()
	var out, errOut buffer
	if code := run(t.Context(), append([]string{"cairn", "init", "--data", data, "--origin", origin}, flags...), nil, &out, &errOut); code != 0 {
		t.Fatalf("init: %d: %s", code, &errOut)
	}
	for line := range strings.Lines(out.String()) {
		if v, ok := strings.CutPrefix(line, "vkey "); ok {
			return strings.TrimSpace(v)
		}
	}
	t.Fatalf("init printed no vkey:\n%s", &out)
	return ""
}

func writePolicy(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policy")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func readPolicyFile(t *testing.T, path string) *checkpoint.Policy {
	t.Helper()
	p, err := checkpoint.ParsePolicy(read(t, path))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// uploadSome puts n entries into a log.
func uploadSome(t *testing.T, url string, n int) {
	t.Helper()
	l := newLoad(t, url, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go l.upload(ctx, t)
	for deadline := time.Now().Add(patience); l.answered.Load() < int64(n); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the log takes no uploads")
		}
	}
}

// cosigned waits until a log publishes a checkpoint of at least a size that
// meets a policy.
func cosigned(t *testing.T, url string, p *checkpoint.Policy, size int64) checkpoint.Checkpoint {
	t.Helper()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		var c checkpoint.Checkpoint
		if c, err = p.Check([]byte(fetch(t, url+"/checkpoint"))); err == nil && c.Tree.Size >= size {
			return c
		}
	}
	t.Fatalf("no checkpoint of size %d meets the policy: %v", size, err)
	return checkpoint.Checkpoint{}
}

// TestTwoCairns has two operators witness each other: each runs a log and a
// witness, with three flags each but for the ports.
func TestTwoCairns(t *testing.T) {
	t.Parallel()
	type operator struct {
		data, vkey, policy string
		log                *running
		witness            *runningWitness
	}
	a := operator{data: filepath.Join(t.TempDir(), "a"), vkey: ""}
	b := operator{data: filepath.Join(t.TempDir(), "b"), vkey: ""}
	a.vkey, b.vkey = initLog(t, a.data, "a.example"), initLog(t, b.data, "b.example")

	a.witness = startWitness(t, "--name", "a.example/witness", "--data", a.data+"w", "--log", b.vkey)
	b.witness = startWitness(t, "--name", "b.example/witness", "--data", b.data+"w", "--log", a.vkey)

	a.policy = writePolicy(t, "log "+a.vkey, b.witness.policy, "quorum b.example/witness")
	b.policy = writePolicy(t, "log "+b.vkey, a.witness.policy, "quorum a.example/witness")
	a.log = start(t, "--data", a.data, "--origin", "a.example", "--witness-policy", a.policy)
	b.log = start(t, "--data", b.data, "--origin", "b.example", "--witness-policy", b.policy)

	for _, o := range []operator{a, b} {
		p := readPolicyFile(t, o.policy)
		cosigned(t, o.log.url, p, 0)
		uploadSome(t, o.log.url, 3)
		cosigned(t, o.log.url, p, 3)
		if got := fetch(t, o.log.url+"/healthz"); got != "{\"status\":\"ok\",\"witnesses\":\"ok\"}\n" {
			t.Errorf("healthz: %s", got)
		}
		if got := fetch(t, o.log.metrics); !strings.Contains(got, "cairn_witness_requests_total{result=\"cosigned\",witness=") || !strings.Contains(got, "cairn_published_size ") {
			t.Error("no metrics of witnesses")
		}
	}
	if code := a.witness.stop(); code != 0 {
		t.Errorf("witness: exit code %d: %s", code, a.witness.log)
	}

	// The log goes on without its witness; what is published waits.
	var info struct{ TreeSize int64 }
	if err := json.Unmarshal([]byte(fetch(t, b.log.url+"/api/v1/log")), &info); err != nil {
		t.Fatal(err)
	}
	uploadSome(t, b.log.url, 2)
	if c, err := readPolicyFile(t, b.policy).Check([]byte(fetch(t, b.log.url+"/checkpoint"))); err != nil || c.Tree.Size > info.TreeSize {
		t.Errorf("published size %d without the witness, which left at %d: %v", c.Tree.Size, info.TreeSize, err)
	}
}

// TestReplicasWithWitness has two servers share a log on Postgres, and the
// witness keep its state there too: both publish the same.
func TestReplicasWithWitness(t *testing.T) {
	t.Parallel()
	url := storagetest.Postgres(t)
	first, second := filepath.Join(t.TempDir(), "first"), filepath.Join(t.TempDir(), "second")
	vkey := initLog(t, first, "a.example", "--storage", url)
	if err := os.Mkdir(second, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(second, "key.pem"), read(t, filepath.Join(first, "key.pem")), 0o600); err != nil {
		t.Fatal(err)
	}
	w := startWitness(t, "--name", "w.example", "--data", t.TempDir(), "--log", vkey, "--storage", storagetest.Postgres(t))
	file := writePolicy(t, "log "+vkey, w.policy, "quorum w.example")
	p := readPolicyFile(t, file)
	a := start(t, "--data", first, "--storage", url, "--origin", "a.example", "--witness-policy", file)
	b := start(t, "--data", second, "--storage", url, "--origin", "a.example", "--witness-policy", file)
	var last int64
	for range 3 {
		for _, s := range []*running{a, b} {
			uploadSome(t, s.url, 2)
		}
		want := last + 4
		for _, s := range []*running{a, b} {
			c := cosigned(t, s.url, p, want)
			if c.Tree.Size < last {
				t.Errorf("published %d after %d", c.Tree.Size, last)
			}
			last = c.Tree.Size
		}
	}
	b.stop()
	uploadSome(t, a.url, 2)
	cosigned(t, a.url, p, last+2)
	if code := a.stop(); code != 0 || strings.Contains(a.log.String(), "ALARM") {
		t.Errorf("exit code %d: %s", code, a.log)
	}
}

// TestWitnessSeesRollback starts a log on a database from before, in a data
// directory that remembers nothing: only the witness can know.
func TestWitnessSeesRollback(t *testing.T) {
	t.Parallel()
	data, saved := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "saved")
	vkey := initLog(t, data, "a.example")
	w := startWitness(t, "--name", "w.example", "--data", t.TempDir(), "--log", vkey)
	policy := writePolicy(t, "log "+vkey, w.policy, "quorum w.example")
	s := start(t, "--data", data, "--origin", "a.example")
	uploadSome(t, s.url, 2)
	s.stop()
	if err := os.CopyFS(saved, os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
	s = start(t, "--data", data, "--origin", "a.example", "--witness-policy", policy)
	uploadSome(t, s.url, 5)
	cosigned(t, s.url, readPolicyFile(t, policy), 5)
	s.stop()

	args := []string{"cairn", "serve", "--data", saved, "--origin", "a.example", "--listen", "127.0.0.1:0", "--metrics-listen", "none"}
	for _, more := range [][]string{{"--witness-policy", policy}, nil} { // and not without them either, before it is explained
		var out, errOut buffer
		code := run(t.Context(), append(args, more...), nil, &out, &errOut)
		if code != exitRefused || !strings.Contains(errOut.String(), `witness "w.example" at `) || !strings.Contains(errOut.String(), "stopped.txt") {
			t.Errorf("%s: exit code %d: %s", more, code, &errOut)
		}
	}
	evidence, err := os.ReadFile(filepath.Join(saved, "stopped.txt"))
	if err != nil || bytes.Count(evidence, []byte("\na.example\n")) != 2 {
		t.Errorf("evidence %v:\n%s", err, evidence)
	}
}

func TestPolicyRefused(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	vkey := initLog(t, data, "a.example")
	other := initLog(t, filepath.Join(t.TempDir(), "other"), "a.example")
	w := startWitness(t, "--name", "w.example", "--data", t.TempDir(), "--log", vkey)
	for _, c := range []struct{ name, policy, want string }{
		{"no file", filepath.Join(t.TempDir(), "none"), "none"},
		{"not a policy", writePolicy(t, "hello"), `line 1: "hello" is not log, witness, group or quorum`},
		{"no quorum", writePolicy(t, "log "+vkey, w.policy), "there is no quorum line"},
		{"quorum none", writePolicy(t, "log "+vkey, w.policy, "quorum none"), "quorum none"},
		{"another log", writePolicy(t, "log "+other, w.policy, "quorum w.example"), "log " + vkey},
		{"no URL", writePolicy(t, "log "+vkey, strings.TrimSuffix(w.policy, w.url), "quorum w.example"), `no URL for witness "w.example"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, errOut buffer
			code := run(t.Context(), []string{"cairn", "serve", "--data", data, "--origin", "a.example", "--listen", "127.0.0.1:0", "--metrics-listen", "none", "--witness-policy", c.policy}, nil, &out, &errOut)
			if code != exitRefused || !strings.Contains(errOut.String(), c.want) {
				t.Errorf("exit code %d, want %d; message %q, want %q in it", code, exitRefused, &errOut, c.want)
			}
		})
	}
}

func TestWitnessRefuses(t *testing.T) {
	t.Parallel()
	vkey := initLog(t, filepath.Join(t.TempDir(), "log"), "a.example")
	dir := t.TempDir()
	mine := filepath.Join(dir, "mine")
	startWitness(t, "--name", "w.example", "--data", mine, "--log", vkey).stop()
	if got := mode(t, filepath.Join(mine, "witness-key.pem")); got != 0o600 {
		t.Errorf("the key has mode %v", got)
	}
	ecdsa := newCheckpointKey(t, sign.ECDSA)
	if err := os.MkdirAll(filepath.Join(dir, "lost"), 0o700); err != nil {
		t.Fatal(err)
	}
	lost := filepath.Join(dir, "lost", "data") // the database is, the rest is there
	if err := os.CopyFS(lost, os.DirFS(mine)); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(filepath.Join(lost, "witness.db") + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	empty := filepath.Join(dir, "logs")
	if err := os.WriteFile(empty, []byte("# none\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no name", []string{"--log", vkey}, exitUsage, "--name"},
		{"no log", []string{"--name", "w.example"}, exitRefused, "--log VKEY"},
		{"no log in the file", []string{"--name", "w.example", "--logs", empty}, exitRefused, "--log VKEY"},
		{"bad vkey", []string{"--name", "w.example", "--log", "x"}, exitRefused, `"x" is not the vkey of a log`},
		{"bad name", []string{"--name", "w example", "--log", vkey}, exitRefused, "--name"},
		{"name of the log", []string{"--name", "a.example", "--log", vkey}, exitRefused, "same name"},
		{"ECDSA key", []string{"--name", "w.example", "--key", ecdsa, "--log", vkey}, exitRefused, "Ed25519"},
		{"no key there", []string{"--name", "w.example", "--key", filepath.Join(dir, "nothing"), "--log", vkey}, exitRefused, "nothing"},
		{"another name", []string{"--name", "v.example", "--data", mine, "--log", vkey}, exitRefused, "belongs to another witness"},
		{"database of another", []string{"--name", "w.example", "--storage", "sqlite:" + filepath.Join(mine, "witness.db"), "--log", vkey}, exitRefused, "is of witness"},
		{"database that forgets", []string{"--name", "w.example", "--data", mine, "--storage", "memory:", "--log", vkey}, exitRefused, "keeps nothing"},
		{"database lost", []string{"--name", "w.example", "--data", lost, "--log", vkey}, exitRefused, "Bring the database back"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var out, errOut buffer
			args := append([]string{"cairn", "witness", "--data", filepath.Join(t.TempDir(), "d"), "--listen", "127.0.0.1:0"}, c.args...)
			if code := run(t.Context(), args, nil, &out, &errOut); code != c.code || !strings.Contains(errOut.String(), c.want) {
				t.Errorf("exit code %d, want %d; message %q, want %q in it", code, c.code, &errOut, c.want)
			}
		})
	}
}

// TestCrashWitness kills a witness again and again while a log with two
// histories asks it. All that it ever answered is of one of them.
func TestCrashWitness(t *testing.T) {
	t.Parallel()
	const leaves = 250
	signKey, err := sign.NewKey(sign.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	author, err := checkpoint.NewAuthor("log.example", signKey)
	if err != nil {
		t.Fatal(err)
	}
	var edges [2]*merkle.Edge
	for branch := range edges {
		e := merkle.NewEdge()
		for i := range leaves {
			leaf := fmt.Sprint(i)
			if i > 0 {
				leaf += fmt.Sprint(" of ", branch)
			}
			e.Append(merkle.HashLeaf([]byte(leaf)))
		}
		e.Tree()
		edges[branch] = e
	}
	prover := func() *merkle.Prover { return merkle.NewProver(nil, 16) } // all hashes are in the edge

	p := newProcess(t, program(t), t.TempDir())
	address := strings.TrimPrefix(p.url, "http://")
	p.args = []string{"witness", "--name", "w.example", "--data", p.data, "--log", author.VKeys()[0], "--listen", address, "--log-level", "error"}
	p.start(t)
	client := newHTTPClient()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	signed := map[int][]int64{} // sizes by branch
	var wg sync.WaitGroup
	for i := range 6 {
		branch, edge := i%2, edges[i%2]
		wg.Go(func() {
			old := int64(0)
			for ctx.Err() == nil {
				size := min(old+int64(rand.IntN(3)), leaves)
				tree := merkle.Tree{Root: merkle.EmptyRoot}
				var proof []merkle.Hash
				if size > 0 {
					root, err := prover().Root(ctx, edge, size)
					if err != nil {
						t.Error(err)
						return
					}
					tree = merkle.Tree{Size: size, Root: root}
				}
				if old > 0 && old < size {
					if proof, err = prover().Consistency(ctx, edge, old, size); err != nil {
						t.Error(err)
						return
					}
				}
				msg, err := author.Checkpoint(tree)
				if err != nil {
					t.Error(err)
					return
				}
				resp, err := client.Post(p.url+"/add-checkpoint", "text/plain", bytes.NewReader(witness.Request{Old: old, Proof: proof, Note: msg}.Body()))
				if err != nil {
					time.Sleep(5 * time.Millisecond)
					continue
				}
				text, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil {
					continue
				}
				switch resp.StatusCode {
				case http.StatusOK:
					old = size
					if size > 1 { // smaller trees are of both
						mu.Lock()
						signed[branch] = append(signed[branch], size)
						mu.Unlock()
					}
				case http.StatusConflict:
					if _, err := fmt.Sscan(string(text), &old); err != nil {
						t.Errorf("409: %q", text)
						return
					}
				case http.StatusUnprocessableEntity, http.StatusTooManyRequests:
					time.Sleep(20 * time.Millisecond)
				default:
					t.Errorf("%s: %s", resp.Status, text)
					return
				}
			}
		})
	}
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(signed[0]) + len(signed[1]) }
	for range kills {
		before := count()
		for deadline := time.Now().Add(patience); count() == before; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the witness cosigns no more")
			}
		}
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		p.kill()
		p.start(t)
	}
	cancel()
	wg.Wait()
	if len(signed[0]) > 0 && len(signed[1]) > 0 {
		t.Errorf("two histories were cosigned: sizes %v and %v", signed[0], signed[1])
	}
	latest := fetch(t, fmt.Sprintf("%s/%x/checkpoint", p.url, sha256Of("log.example")))
	if _, err := note.Open([]byte(latest), note.VerifierList(author.Verifiers()...)); err != nil {
		t.Error(err)
	}
}

func sha256Of(s string) [sha256.Size]byte { return sha256.Sum256([]byte(s)) }
