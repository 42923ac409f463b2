package compat

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sigstore/rekor/pkg/generated/client/entries"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/util"
	"github.com/sigstore/rekor/pkg/verify"
	"golang.org/x/sync/errgroup"
)

// TestReplicas has two servers on one database, as a client behind a load
// balancer meets them: what one answers, the other knows, and neither ever
// shows an older tree than the other has shown. SQLite has one server only.
func TestReplicas(t *testing.T) {
	t.Parallel()
	for _, b := range backends() {
		if b.name == "sqlite" {
			continue
		}
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			first := newServer(t.TempDir(), b.storage(t))
			run(t, first)
			other := newServer(t.TempDir(), first.storage)
			other.key = filepath.Join(first.data, "key.pem")
			run(t, other)
			var logs []*rekorLog
			for _, s := range []*server{first, other} {
				l, err := openRekor(s.url)
				if err != nil {
					t.Fatal(err)
				}
				logs = append(logs, l)
			}
			signer, err := newSigner("p256")
			if err != nil {
				t.Fatal(err)
			}

			// In turns, while both take uploads from others.
			var others errgroup.Group
			for _, s := range []*server{first, other} {
				others.Go(func() error { return grow(s.url, 100) })
			}
			var old *util.SignedCheckpoint
			for i := range 20 {
				here, there := logs[i%2], logs[(i+1)%2]
				content := fmt.Appendf(nil, "entry %d", i)
				p, err := proposeHashedRekord(signer, content, 0)
				if err != nil {
					t.Fatal(err)
				}
				id, e, err := here.add(ctx, p)
				if err != nil {
					t.Fatal(err)
				}
				checkRead(t, there, "by index", id, e, func() (models.LogEntry, error) {
					r, err := there.Entries.GetLogEntryByIndex(entries.NewGetLogEntryByIndexParamsWithContext(ctx).WithLogIndex(*e.LogIndex))
					if err != nil {
						return nil, err
					}
					return r.Payload, nil
				})
				if _, ok := conflictLocation(second(there.add(ctx, p))); !ok {
					t.Errorf("entry %d was not refused as a duplicate by the other server", i)
				}
				found, err := there.search(ctx, &models.SearchIndex{Hash: fmt.Sprintf("%x", digest(content, signer.hash))})
				if err != nil || !slices.Equal(found, []string{id}) {
					t.Errorf("the other server finds %v (%v), want %s", found, err, id)
				}
				now := currentCheckpoint(t, there)
				if int64(now.Size) <= *e.LogIndex {
					t.Errorf("entry %d is answered, the other server shows a tree of %d", *e.LogIndex, now.Size)
				}
				if old != nil {
					if err := verify.ProveConsistency(ctx, here.Rekor, old, now, treeID(t, here)); err != nil {
						t.Errorf("from %d to %d: %v", old.Size, now.Size, err)
					}
				}
				old = now
			}
			if err := others.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}
