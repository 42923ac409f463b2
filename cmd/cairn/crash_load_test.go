package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	v1 "github.com/cairnlog/cairn/api/v1"
	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/entry"
	"github.com/cairnlog/cairn/merkle"
	"github.com/cairnlog/cairn/sign"
)

// A load uploads to a log and keeps every answer.
type load struct {
	url    string
	key    crypto.PublicKey // of the log
	client *http.Client
	signer *ecdsa.PrivateKey
	pem    []byte

	answered atomic.Int64 // how many uploads got their answer
	failed   atomic.Int64 // how many requests got none, or a 5xx

	mu    sync.Mutex
	kept  []receipt
	trees []merkle.Tree // of checkpoints seen
}

// A receipt says that the log has an entry.
type receipt struct {
	digest string       // hex SHA-256 of the artifact
	id     string       // entry id
	entry  *v1.LogEntry // of a 201, nil after a 409
}

func newLoad(t *testing.T, url string, key crypto.PublicKey) *load {
	t.Helper()
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text, err := sign.PublicPEM(signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	return &load{url: url, key: key, client: newHTTPClient(), signer: signer, pem: text}
}

// waitForProgress returns after some more uploads got their answer.
func (l *load) waitForProgress(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for want := l.answered.Load() + crashWorkers; l.answered.Load() < want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the log takes no uploads any more")
		}
	}
}

// upload uploads one entry after the other. It tries each until it is known to
// be in the log: the answer to a try that was cut off may come as a 409.
func (l *load) upload(ctx context.Context, t *testing.T) {
	for ctx.Err() == nil {
		digest := sha256.Sum256([]byte(rand.Text()))
		sig, err := ecdsa.SignASN1(rand.Reader, l.signer, digest[:])
		if err != nil {
			t.Error(err)
			return
		}
		a := receipt{digest: hex.EncodeToString(digest[:])}
		body, err := entry.NewHashedRekord("sha256", a.digest, sig, l.pem).MarshalJSON()
		if err != nil {
			t.Error(err)
			return
		}
		for {
			status, data, location, err := l.post(ctx, v1.PathEntries, body)
			if err != nil || status >= 500 {
				if ctx.Err() != nil {
					return
				}
				l.failed.Add(1)
				time.Sleep(5 * time.Millisecond)
				continue
			}
			switch status {
			case http.StatusCreated:
				var entries map[string]*v1.LogEntry
				if err := json.Unmarshal(data, &entries); err != nil || len(entries) != 1 {
					t.Errorf("answer %s: %v", data, err)
					return
				}
				for a.id, a.entry = range entries {
				}
			case http.StatusConflict:
				a.id = location[strings.LastIndexByte(location, '/')+1:]
			default:
				t.Errorf("upload: status %d: %s", status, data)
				return
			}
			break
		}
		l.mu.Lock()
		l.kept = append(l.kept, a)
		l.mu.Unlock()
		l.answered.Add(1)
	}
}

// watch polls checkpoints as a monitor does. The tree must never go back.
func (l *load) watch(ctx context.Context, t *testing.T) {
	var size int64
	for ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
		status, data, err := l.get(ctx, v1.PathLog)
		if err != nil || status != http.StatusOK {
			continue
		}
		tree, err := l.tree(data)
		if err != nil {
			t.Errorf("log info %s: %v", data, err)
			return
		}
		if tree.Size < size {
			t.Errorf("the tree went back from %d to %d", size, tree.Size)
			return
		}
		size = tree.Size
		l.mu.Lock()
		l.trees = append(l.trees, tree)
		l.mu.Unlock()
	}
}

// tree returns what the checkpoint in a log info says, having verified it.
func (l *load) tree(data []byte) (merkle.Tree, error) {
	var info v1.LogInfo
	if err := json.Unmarshal(data, &info); err != nil {
		return merkle.Tree{}, err
	}
	c, err := checkpoint.Open([]byte(info.SignedTreeHead), "localhost - "+info.TreeID, l.key)
	return c.Tree, err
}

func (l *load) get(ctx context.Context, path string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.url+path, nil)
	if err != nil {
		return 0, nil, err
	}
	status, data, _, err := l.do(req)
	return status, data, err
}

func (l *load) post(ctx context.Context, path string, body []byte) (status int, data []byte, location string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, "", err
	}
	req.Header.Set("Content-Type", "application/json")
	return l.do(req)
}

func (l *load) do(req *http.Request) (status int, data []byte, location string, err error) {
	resp, err := l.client.Do(req)
	if err != nil {
		return 0, nil, "", err
	}
	defer resp.Body.Close()
	data, err = io.ReadAll(resp.Body)
	return resp.StatusCode, data, resp.Header.Get("Location"), err
}

// verify reads the whole log, rebuilds its tree, and holds every checkpoint
// and every answer that was received against it.
func (l *load) verify(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	status, data, err := l.get(ctx, v1.PathLog)
	if err != nil || status != http.StatusOK {
		t.Fatalf("log info: %d %s %v", status, data, err)
	}
	newest, err := l.tree(data)
	if err != nil {
		t.Fatal(err)
	}
	n201 := 0
	for _, a := range l.kept {
		if a.entry != nil {
			n201++
		}
	}
	t.Logf("%d entries in the log; %d answers of 201, %d of 409; %d requests failed; %d checkpoints seen",
		newest.Size, n201, len(l.kept)-n201, l.failed.Load(), len(l.trees))
	if n201 == 0 || l.failed.Load() == 0 {
		t.Error("the test did not test: no answers, or no failures")
	}

	// 1. Every entry, with its own proof, and the trees of all sizes.
	entries := l.all(ctx, t, newest)
	roots := []merkle.Hash{merkle.EmptyRoot}
	edge, before := merkle.NewEdge(), int64(0)
	index := map[string]int64{}
	for i, e := range entries {
		body, err := base64.StdEncoding.DecodeString(e.Body)
		if err != nil {
			t.Fatal(err)
		}
		leaf := merkle.HashLeaf(body)
		edge.Append(leaf)
		roots = append(roots, edge.Tree().Root)
		if other, ok := index[leaf.String()]; ok {
			t.Errorf("entries %d and %d are the same", other, i)
		}
		index[leaf.String()] = int64(i)
		if err := l.proves(e, leaf, int64(i)); err != nil {
			t.Errorf("entry %d: %v", i, err)
		}
		if e.IntegratedTime < before {
			t.Errorf("entry %d was integrated at %d, the one before at %d", i, e.IntegratedTime, before)
		}
		before = e.IntegratedTime
	}
	if edge.Tree() != newest {
		t.Fatalf("the entries make the tree %v, the checkpoint says %v", edge.Tree(), newest)
	}

	// 2. Every checkpoint that was ever seen is of this history.
	ofHistory := func(tree merkle.Tree) error {
		if tree.Size > newest.Size || roots[tree.Size] != tree.Root {
			return fmt.Errorf("tree %v is not of this log's history", tree)
		}
		return nil
	}
	for _, tree := range l.trees {
		if err := ofHistory(tree); err != nil {
			t.Error(err)
		}
	}

	// 3. Every answer: the promise, the proof, the leaf where it was said to
	// be, and the search.
	var g errgroup.Group
	g.SetLimit(connections)
	for _, a := range l.kept {
		leaf := a.id[len(a.id)-64:]
		at, ok := index[leaf]
		if !ok {
			t.Errorf("entry %s was acknowledged and is lost", a.id)
			continue
		}
		if e := a.entry; e != nil {
			hash, err := merkle.ParseHash(leaf)
			if err == nil {
				err = l.proves(e, hash, at)
			}
			if err == nil {
				var tree merkle.Tree
				tree.Size = e.Verification.InclusionProof.TreeSize
				tree.Root, err = merkle.ParseHash(e.Verification.InclusionProof.RootHash)
				if err == nil {
					err = ofHistory(tree)
				}
			}
			if err != nil || e.Body != entries[at].Body || e.IntegratedTime != entries[at].IntegratedTime {
				t.Errorf("answer for %s does not agree with the log: %v", a.id, err)
			}
		}
		g.Go(func() error { return l.searchable(ctx, a) })
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

// all reads all entries of a tree.
func (l *load) all(ctx context.Context, t *testing.T, tree merkle.Tree) []*v1.LogEntry {
	t.Helper()
	entries := make([]*v1.LogEntry, tree.Size)
	var g errgroup.Group
	g.SetLimit(connections)
	for start := int64(0); start < tree.Size; start += v1.MaxRetrieve {
		g.Go(func() error {
			q := v1.SearchLogQuery{}
			for i := start; i < min(start+v1.MaxRetrieve, tree.Size); i++ {
				q.LogIndexes = append(q.LogIndexes, i)
			}
			body, err := json.Marshal(q)
			if err != nil {
				return err
			}
			status, data, _, err := l.post(ctx, v1.PathRetrieve, body)
			if err != nil || status != http.StatusOK {
				return fmt.Errorf("retrieve %d: %d %s %w", start, status, data, err)
			}
			var found []map[string]*v1.LogEntry
			if err := json.Unmarshal(data, &found); err != nil {
				return err
			}
			if len(found) != len(q.LogIndexes) {
				return fmt.Errorf("retrieve %d: %d entries of %d", start, len(found), len(q.LogIndexes))
			}
			for i, m := range found {
				for _, e := range m {
					entries[start+int64(i)] = e
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	return entries
}

// proves verifies the promise and the proof of an entry.
func (l *load) proves(e *v1.LogEntry, leaf merkle.Hash, index int64) error {
	if e.LogIndex != index {
		return fmt.Errorf("has index %d, not %d", e.LogIndex, index)
	}
	if err := v1.VerifyEntryTimestamp(e, l.key); err != nil {
		return err
	}
	p := e.Verification.InclusionProof
	c, err := checkpoint.Open([]byte(p.Checkpoint), "", l.key)
	if err != nil {
		return err
	}
	if c.Tree.Size != p.TreeSize || c.Tree.Root.String() != p.RootHash || p.LogIndex != index {
		return fmt.Errorf("proof is for another tree than its checkpoint")
	}
	var hashes []merkle.Hash
	for _, s := range p.Hashes {
		h, err := merkle.ParseHash(s)
		if err != nil {
			return err
		}
		hashes = append(hashes, h)
	}
	return merkle.VerifyInclusion(leaf, index, c.Tree, hashes)
}

// searchable finds an entry by the digest of its artifact.
func (l *load) searchable(ctx context.Context, a receipt) error {
	body, err := json.Marshal(v1.SearchIndex{Hash: "sha256:" + a.digest})
	if err != nil {
		return err
	}
	status, data, _, err := l.post(ctx, v1.PathIndex, body)
	if err != nil || status != http.StatusOK {
		return fmt.Errorf("search for %s: %d %s %w", a.digest, status, data, err)
	}
	var ids []string
	if err := json.Unmarshal(data, &ids); err != nil {
		return err
	}
	if !slices.Contains(ids, a.id) {
		return fmt.Errorf("search for %s finds %v, not %s", a.digest, ids, a.id)
	}
	return nil
}
