package compat

import (
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-openapi/strfmt"
	"github.com/google/go-cmp/cmp"
	"github.com/sigstore/rekor/pkg/generated/client/entries"
	"github.com/sigstore/rekor/pkg/generated/client/pubkey"
	"github.com/sigstore/rekor/pkg/generated/client/tlog"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/util"
	"github.com/sigstore/rekor/pkg/verify"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// TestRekorClient takes each kind through each operation of the Go client.
func TestRekorClient(t *testing.T) {
	onEach(t, func(t *testing.T, s *server) {
		ctx := t.Context()
		l, err := openRekor(s.url)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range kinds() {
			t.Run(k.name+"-"+k.version, func(t *testing.T) {
				t.Parallel()
				signer, err := newSigner("p256")
				if err != nil {
					t.Fatal(err)
				}
				email := k.name + strings.ReplaceAll(k.version, ".", "") + "@example.com"
				if err := signer.certify(nil, email, "https://ci.example/"+email); err != nil {
					t.Fatal(err)
				}
				content := []byte("content of " + email)
				p, err := k.propose(signer, content, 1)
				if err != nil {
					t.Fatal(err)
				}

				id, created, err := l.add(ctx, p)
				if err != nil {
					t.Fatalf("create: %v", err)
				}
				if created.Attestation != nil {
					t.Error("the answer to an upload carries an attestation")
				}
				at, ok := conflictLocation(second(l.add(ctx, p)))
				if !ok || at != "/api/v1/log/entries/"+id {
					t.Errorf("the second upload gave location %q, conflict %v", at, ok)
				}

				want := created
				checkRead(t, l, "by index", id, want, func() (models.LogEntry, error) {
					r, err := l.Entries.GetLogEntryByIndex(entries.NewGetLogEntryByIndexParamsWithContext(ctx).WithLogIndex(*created.LogIndex))
					if err != nil {
						return nil, err
					}
					return r.Payload, nil
				})
				for _, name := range []string{id, id[16:]} {
					checkRead(t, l, "by "+name, id, want, func() (models.LogEntry, error) {
						r, err := l.Entries.GetLogEntryByUUID(entries.NewGetLogEntryByUUIDParamsWithContext(ctx).WithEntryUUID(name))
						if err != nil {
							return nil, err
						}
						return r.Payload, nil
					})
				}
				byEntry := &models.SearchLogQuery{}
				byEntry.SetEntries([]models.ProposedEntry{p})
				for name, q := range map[string]*models.SearchLogQuery{
					"query by id":       {EntryUUIDs: []string{id}},
					"query by uuid":     {EntryUUIDs: []string{id[16:]}},
					"query by index":    {LogIndexes: []*int64{created.LogIndex}},
					"query by proposal": byEntry,
				} {
					checkRead(t, l, name, id, want, func() (models.LogEntry, error) {
						r, err := l.Entries.SearchLogQuery(entries.NewSearchLogQueryParamsWithContext(ctx).WithEntry(q))
						if err != nil {
							return nil, err
						}
						if len(r.Payload) != 1 {
							return nil, fmt.Errorf("%d results", len(r.Payload))
						}
						return r.Payload[0], nil
					})
				}

				key, err := signer.verifierPEM(1)
				if err != nil {
					t.Fatal(err)
				}
				x509 := "x509"
				for name, q := range map[string]*models.SearchIndex{
					"email":      {Email: strfmt.Email(email)},
					"public key": {PublicKey: &models.SearchIndexPublicKey{Format: &x509, Content: key}},
					"hash":       {Hash: fmt.Sprintf("%x", digest(content, crypto.SHA256))},
				} {
					found, err := l.search(ctx, q)
					if err != nil || !slices.Equal(found, []string{id}) {
						t.Errorf("search by %s found %v (%v), want %s", name, found, err, id)
					}
				}
				found, err := searchSubject(ctx, s.url, "https://ci.example/"+email)
				if err != nil || !slices.Equal(found, []string{id}) {
					t.Errorf("search by subject found %v (%v), want %s", found, err, id)
				}
			})
		}
	})
}

func second[A, B, C any](_ A, _ B, c C) C { return c }

// checkRead wants a read to give the entry that was created, with proofs of today.
func checkRead(t *testing.T, l *rekorLog, name, id string, want models.LogEntryAnon, read func() (models.LogEntry, error)) {
	t.Helper()
	m, err := read()
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	got, e, err := l.only(t.Context(), m)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if got != id {
		t.Errorf("%s gave %s, want %s", name, got, id)
	}
	e.Verification, want.Verification = nil, nil
	e.Attestation = nil
	if d := cmp.Diff(want, e); d != "" {
		t.Errorf("%s (-created +read):\n%s", name, d)
	}
}

// TestRekorAttestation reads back the payloads of in-toto entries.
func TestRekorAttestation(t *testing.T) {
	onEach(t, func(t *testing.T, s *server) {
		l, err := openRekor(s.url)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := newSigner("p256")
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range kinds() {
			content := []byte("attested as " + k.name + k.version)
			p, err := k.propose(signer, content, 0)
			if err != nil {
				t.Fatal(err)
			}
			id, _, err := l.add(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			r, err := l.Entries.GetLogEntryByUUID(entries.NewGetLogEntryByUUIDParamsWithContext(t.Context()).WithEntryUUID(id))
			if err != nil {
				t.Fatal(err)
			}
			_, e, err := l.only(t.Context(), r.Payload)
			if err != nil {
				t.Fatal(err)
			}
			var got, want string
			if k.name == "intoto" {
				want = string(statement(content))
			}
			if e.Attestation != nil {
				got = string(e.Attestation.Data)
			}
			if got != want {
				t.Errorf("%s %s: the attestation is %q, want %q", k.name, k.version, got, want)
			}
		}
	})
}

// TestRekorGrowth follows a log with the client's own consistency check while
// it grows over the edges of tiles.
func TestRekorGrowth(t *testing.T) {
	onEach(t, func(t *testing.T, s *server) {
		ctx := t.Context()
		l, err := openRekor(s.url)
		if err != nil {
			t.Fatal(err)
		}
		info, err := l.Tlog.GetLogInfo(tlog.NewGetLogInfoParamsWithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		if *info.Payload.TreeSize != 0 || *info.Payload.RootHash != hex.EncodeToString(rfc6962.DefaultHasher.EmptyRoot()) {
			t.Errorf("the empty log has size %d and root %s", *info.Payload.TreeSize, *info.Payload.RootHash)
		}

		var seen []*util.SignedCheckpoint
		for _, n := range []int{1, 1, 1, 4, 200, 48, 1, 1, 300} {
			if err := grow(s.url, n); err != nil {
				t.Fatal(err)
			}
			now := currentCheckpoint(t, l)
			seen = append(seen, now)
			for _, old := range seen {
				if err := verify.ProveConsistency(ctx, l.Rekor, old, now, treeID(t, l)); err != nil {
					t.Errorf("%d to %d: %v", old.Size, now.Size, err)
				}
			}
			if _, err := verify.VerifyCurrentCheckpoint(ctx, l.Rekor, l.verifier, seen[0]); err != nil {
				t.Errorf("from %d: %v", seen[0].Size, err)
			}
		}

		// Between two trees of the past, of which only the client knows the roots.
		old, mid := seen[2], seen[5]
		first := int64(old.Size)
		r, err := l.Tlog.GetLogProof(tlog.NewGetLogProofParamsWithContext(ctx).WithFirstSize(&first).WithLastSize(int64(mid.Size)))
		if err != nil {
			t.Fatal(err)
		}
		var hashes [][]byte
		for _, h := range r.Payload.Hashes {
			b, err := hex.DecodeString(h)
			if err != nil {
				t.Fatal(err)
			}
			hashes = append(hashes, b)
		}
		if err := proof.VerifyConsistency(rfc6962.DefaultHasher, old.Size, mid.Size, hashes, old.Hash, mid.Hash); err != nil {
			t.Errorf("%d to %d: %v", old.Size, mid.Size, err)
		}

		// Every entry is there, in order, and proven in the newest tree.
		newest := seen[len(seen)-1]
		var last int64
		for i := int64(0); i < int64(newest.Size); {
			var q models.SearchLogQuery
			for ; len(q.LogIndexes) < 10 && i < int64(newest.Size); i++ {
				q.LogIndexes = append(q.LogIndexes, new(i))
			}
			r, err := l.Entries.SearchLogQuery(entries.NewSearchLogQueryParamsWithContext(ctx).WithEntry(&q))
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Payload) != len(q.LogIndexes) {
				t.Fatalf("asked for %d indexes, got %d entries", len(q.LogIndexes), len(r.Payload))
			}
			for n, m := range r.Payload {
				_, e, err := l.only(ctx, m)
				if err != nil {
					t.Fatal(err)
				}
				if *e.LogIndex != *q.LogIndexes[n] {
					t.Fatalf("asked for index %d, got %d", *q.LogIndexes[n], *e.LogIndex)
				}
				if *e.IntegratedTime < last {
					t.Errorf("time goes back at index %d", *e.LogIndex)
				}
				last = *e.IntegratedTime
			}
		}
		if age := time.Since(time.Unix(last, 0)); age < -time.Minute || age > time.Hour {
			t.Errorf("the newest entry is %v old", age)
		}
	})
}

func currentCheckpoint(t *testing.T, l *rekorLog) *util.SignedCheckpoint {
	t.Helper()
	info, err := l.Tlog.GetLogInfo(tlog.NewGetLogInfoParamsWithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	var c util.SignedCheckpoint
	if err := c.UnmarshalText([]byte(*info.Payload.SignedTreeHead)); err != nil {
		t.Fatal(err)
	}
	if !c.Verify(l.verifier) {
		t.Fatalf("the checkpoint's signature is wrong:\n%s", *info.Payload.SignedTreeHead)
	}
	if want := origin + " - " + *info.Payload.TreeID; c.Origin != want {
		t.Errorf("the origin is %q, want %q", c.Origin, want)
	}
	if int64(c.Size) != *info.Payload.TreeSize || hex.EncodeToString(c.Hash) != *info.Payload.RootHash {
		t.Errorf("the checkpoint is not of the tree beside it: %d %s\n%s", *info.Payload.TreeSize, *info.Payload.RootHash, *info.Payload.SignedTreeHead)
	}
	return &c
}

func treeID(t *testing.T, l *rekorLog) string {
	t.Helper()
	info, err := l.Tlog.GetLogInfo(tlog.NewGetLogInfoParamsWithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	return *info.Payload.TreeID
}

// TestRekorErrors wants errors in the types that the client has for them.
func TestRekorErrors(t *testing.T) {
	onEach(t, func(t *testing.T, s *server) {
		ctx := t.Context()
		l, err := openRekor(s.url)
		if err != nil {
			t.Fatal(err)
		}
		if err := grow(s.url, 3); err != nil {
			t.Fatal(err)
		}
		one, nine, twelve := int64(1), int64(9), "12"
		index := int64(7)
		bad := models.Hashedrekord{APIVersion: new("0.0.1"), Spec: map[string]any{}}
		for _, tt := range []struct {
			name string
			call func() error
			want any
		}{
			{"entry by unknown index", func() error {
				_, err := l.Entries.GetLogEntryByIndex(entries.NewGetLogEntryByIndexParamsWithContext(ctx).WithLogIndex(index))
				return err
			}, new(*entries.GetLogEntryByIndexNotFound)},
			{"entry by unknown uuid", func() error {
				_, err := l.Entries.GetLogEntryByUUID(entries.NewGetLogEntryByUUIDParamsWithContext(ctx).WithEntryUUID(strings.Repeat("0", 64)))
				return err
			}, new(*entries.GetLogEntryByUUIDNotFound)},
			{"entry by malformed uuid", func() error {
				_, err := l.Entries.GetLogEntryByUUID(entries.NewGetLogEntryByUUIDParamsWithContext(ctx).WithEntryUUID("zz"))
				return err
			}, new(*entries.GetLogEntryByUUIDDefault)},
			{"proof to the future", func() error {
				_, err := l.Tlog.GetLogProof(tlog.NewGetLogProofParamsWithContext(ctx).WithLastSize(400))
				return err
			}, new(*tlog.GetLogProofBadRequest)},
			{"proof backwards", func() error {
				_, err := l.Tlog.GetLogProof(tlog.NewGetLogProofParamsWithContext(ctx).WithFirstSize(&nine).WithLastSize(one))
				return err
			}, new(*tlog.GetLogProofBadRequest)},
			{"proof of another tree", func() error {
				_, err := l.Tlog.GetLogProof(tlog.NewGetLogProofParamsWithContext(ctx).WithLastSize(2).WithTreeID(&twelve))
				return err
			}, new(*tlog.GetLogProofBadRequest)},
			{"key of another tree", func() error {
				_, err := l.Pubkey.GetPublicKey(pubkey.NewGetPublicKeyParamsWithContext(ctx).WithTreeID(&twelve))
				return err
			}, new(error)}, // of any type: the client cannot decode Rekor's own answer
			{"entry without its members", func() error {
				_, err := l.Entries.CreateLogEntry(entries.NewCreateLogEntryParamsWithContext(ctx).WithProposedEntry(&bad))
				return err
			}, new(*entries.CreateLogEntryBadRequest)},
			{"query for too many", func() error {
				q := &models.SearchLogQuery{LogIndexes: slices.Repeat([]*int64{&one}, 11)}
				_, err := l.Entries.SearchLogQuery(entries.NewSearchLogQueryParamsWithContext(ctx).WithEntry(q))
				return err
			}, new(*entries.SearchLogQueryUnprocessableEntity)},
		} {
			if err := tt.call(); err == nil || !errors.As(err, tt.want) {
				t.Errorf("%s: got %T %v, want a %T", tt.name, err, err, tt.want)
			}
		}
	})
}
