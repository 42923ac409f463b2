package v1_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	v1 "github.com/cairnlog/cairn/api/v1"
	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/merkle"
)

type primitives struct {
	EntryIDs []struct {
		EntryID string `json:"entry_id"`
		TreeID  string `json:"tree_id"`
		UUID    string
	} `json:"entry_ids"`
	IDParsing []struct {
		Input       string
		TreeID      string `json:"tree_id"`
		TreeIDError string `json:"tree_id_error"`
		UUID        string
		UUIDError   string `json:"uuid_error"`
	} `json:"id_parsing"`
	Timestamps []struct {
		Body           []byte `json:"body_b64"`
		IntegratedTime int64
		Key            string
		LeafHash       string `json:"leaf_hash_hex"`
		LogID          string
		LogIndex       int64
		PublicKey      string `json:"log_public_key_pem"`
		Timestamp      []byte `json:"signed_entry_timestamp_b64"`
		Payload        string `json:"signed_payload"`
	} `json:"signed_entry_timestamps"`
}

func load(t testing.TB) primitives {
	t.Helper()
	b, err := os.ReadFile("testdata/primitives.json")
	if err != nil {
		t.Fatal(err)
	}
	var p primitives
	if err := json.Unmarshal(b, &p); err != nil {
		t.Fatal(err)
	}
	if len(p.EntryIDs) == 0 || len(p.IDParsing) == 0 || len(p.Timestamps) == 0 {
		t.Fatal("no vectors")
	}
	return p
}

func TestReferenceTimestamps(t *testing.T) {
	t.Parallel()
	for _, v := range load(t).Timestamps {
		t.Run(v.Key, func(t *testing.T) {
			t.Parallel()
			if got := string(v1.EntryTimestampMessage(v.Body, v.IntegratedTime, v.LogID, v.LogIndex)); got != v.Payload {
				t.Errorf("message %s\nwant %s", got, v.Payload)
			}
			if got := merkle.HashLeaf(v.Body).String(); got != v.LeafHash {
				t.Errorf("leaf hash %s, want %s", got, v.LeafHash)
			}
			block, _ := pem.Decode([]byte(v.PublicKey))
			key, err := x509.ParsePKIXPublicKey(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			e := v1.LogEntry{
				Body:           base64.StdEncoding.EncodeToString(v.Body),
				IntegratedTime: v.IntegratedTime,
				LogID:          v.LogID,
				LogIndex:       v.LogIndex,
				Verification:   &v1.Verification{SignedEntryTimestamp: v.Timestamp},
			}
			if err := v1.VerifyEntryTimestamp(&e, key); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestReferenceEntryIDs(t *testing.T) {
	t.Parallel()
	for _, v := range load(t).EntryIDs {
		treeID, err := strconv.ParseInt(v.TreeID, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		hash, err := merkle.ParseHash(v.UUID)
		if err != nil {
			t.Fatal(err)
		}
		id := v1.EntryID{TreeID: treeID, Hash: hash}
		if got := id.String(); got != v.EntryID {
			t.Errorf("entry id %s, want %s", got, v.EntryID)
		}
		if got, err := v1.ParseEntryID(v.EntryID); err != nil || got != id {
			t.Errorf("parse %s: %v, %v", v.EntryID, got, err)
		}
	}
}

func TestReferenceIDParsing(t *testing.T) {
	t.Parallel()
	for _, v := range load(t).IDParsing {
		t.Run(v.Input, func(t *testing.T) {
			t.Parallel()
			id, err := v1.ParseEntryID(v.Input)
			switch {
			case v.TreeID != "":
				if err != nil || strconv.FormatInt(id.TreeID, 10) != v.TreeID || id.Hash.String() != v.UUID {
					t.Errorf("got %+v, %v, want tree %s, hash %s", id, err, v.TreeID, v.UUID)
				}
			case v.UUIDError == "" && len(v.Input) == 64: // a leaf hash without tree id
				if err != nil || id.TreeID != 0 || id.Hash.String() != strings.ToLower(v.UUID) {
					t.Errorf("got %+v, %v, want hash %s", id, err, v.UUID)
				}
			default:
				if err == nil {
					t.Errorf("got %+v, want an error like %q", id, v.TreeIDError)
				}
				var bad *v1.TreeIDError
				if got, want := errors.As(err, &bad), strings.Contains(v.TreeIDError, "is not a valid TreeID"); got != want {
					t.Errorf("error %v names the tree id: %t, want %t", err, got, want)
				}
			}
		})
	}
}

func newSigner(t testing.TB) (*v1.Signer, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := v1.NewSigner(key, "log.example", 1001)
	if err != nil {
		t.Fatal(err)
	}
	return s, key
}

func TestSigner(t *testing.T) {
	t.Parallel()
	s, key := newSigner(t)
	tree := merkle.Tree{Size: 9, Root: merkle.HashLeaf(nil)}
	note, err := s.SignTree(tree)
	if err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.Open(note, "log.example - 1001", key.Public())
	if err != nil || c.Tree != tree {
		t.Errorf("open %s: %+v, %v", note, c, err)
	}
	if lines := strings.Count(string(note), "\n"); lines != 5 || !strings.Contains(string(note), "\n— log.example ") {
		t.Errorf("checkpoint %s, want one signature by log.example", note)
	}

	body := []byte(`{"a":"<&>"}`)
	set, err := s.SignEntry(8, 1700000000, body)
	if err != nil {
		t.Fatal(err)
	}
	id, err := checkpoint.KeyID(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	good := v1.LogEntry{
		Body:           base64.StdEncoding.EncodeToString(body),
		IntegratedTime: 1700000000,
		LogID:          hex.EncodeToString(id[:]),
		LogIndex:       8,
		Verification:   &v1.Verification{SignedEntryTimestamp: set},
	}
	if err := v1.VerifyEntryTimestamp(&good, key.Public()); err != nil {
		t.Fatal(err)
	}
	_, other := newSigner(t)
	if err := v1.VerifyEntryTimestamp(&good, other.Public()); err == nil {
		t.Error("verified with another key")
	}
	if err := v1.VerifyEntryTimestamp(&good, "no key"); err == nil {
		t.Error("verified with a string for a key")
	}
	for name, change := range map[string]func(*v1.LogEntry){
		"other body":           func(e *v1.LogEntry) { e.Body = base64.StdEncoding.EncodeToString([]byte("{}")) },
		"body not base64":      func(e *v1.LogEntry) { e.Body = `","x":"` },
		"body with bits over":  func(e *v1.LogEntry) { e.Body = "AB==" },
		"body with a newline":  func(e *v1.LogEntry) { e.Body = e.Body[:4] + "\n" + e.Body[4:] },
		"other time":           func(e *v1.LogEntry) { e.IntegratedTime++ },
		"other index":          func(e *v1.LogEntry) { e.LogIndex-- },
		"other log id":         func(e *v1.LogEntry) { e.LogID = strings.Repeat("0", 64) },
		"log id in upper case": func(e *v1.LogEntry) { e.LogID = strings.ToUpper(e.LogID) },
		"no timestamp":         func(e *v1.LogEntry) { e.Verification = &v1.Verification{} },
		"no verification":      func(e *v1.LogEntry) { e.Verification = nil },
		"timestamp cut off":    func(e *v1.LogEntry) { e.Verification = &v1.Verification{SignedEntryTimestamp: set[:len(set)-1]} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := good
			change(&e)
			if err := v1.VerifyEntryTimestamp(&e, key.Public()); err == nil {
				t.Error("verified")
			}
		})
	}
}

func TestNewSignerRefuses(t *testing.T) {
	t.Parallel()
	_, key := newSigner(t)
	for name, c := range map[string]struct {
		origin string
		treeID int64
	}{
		"no origin":           {"", 1},
		"origin with a space": {"a b", 1},
		"origin with a line":  {"a\nb", 1},
		"tree id zero":        {"a", 0},
		"tree id negative":    {"a", -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := v1.NewSigner(key, c.origin, c.treeID); err == nil {
				t.Error("made a signer")
			}
		})
	}
}

func BenchmarkSignEntry(b *testing.B) {
	s, _ := newSigner(b)
	body := make([]byte, 2500)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.SignEntry(1, 1700000000, body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEntryTimestampMessage(b *testing.B) {
	body := make([]byte, 2500)
	id := strings.Repeat("a", 64)
	b.ReportAllocs()
	for b.Loop() {
		v1.EntryTimestampMessage(body, 1700000000, id, 1)
	}
}
