package client_test

import (
	"encoding/json"
	"net/http"
	"os"
	"testing"
	"time"

	v1 "github.com/cairnlog/cairn/api/v1"
	"github.com/cairnlog/cairn/client"
	"github.com/cairnlog/cairn/entry"
)

// A recording is one exchange with a Rekor v1 server.
type recording struct {
	Method, Path, Body string
	Status             int
	Headers            map[string]string
	Answer             string
}

func recordings(t *testing.T) map[string]recording {
	t.Helper()
	b, err := os.ReadFile("testdata/exchanges.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]recording
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// play answers with those recordings, and nothing else.
func play(t *testing.T, names ...string) http.Handler {
	all := recordings(t)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, n := range names {
			x := all[n]
			if x.Method == r.Method && x.Path == r.URL.RequestURI() {
				for k, v := range x.Headers {
					w.Header().Set(k, v)
				}
				w.WriteHeader(x.Status)
				w.Write([]byte(x.Answer))
				return
			}
		}
		t.Errorf("no recording of %s %s", r.Method, r.URL.RequestURI())
		http.Error(w, "no recording", http.StatusTeapot)
	})
}

// TestRekor verifies what a Rekor v1 server answered.
func TestRekor(t *testing.T) {
	t.Parallel()
	all := recordings(t)
	open := func(t *testing.T, names ...string) *client.Client {
		s := newStage(t, play(t, append(names, "publickey-none")...))
		return newClient(t, s, client.Options{Trust: func(client.Offer) error { return nil }})
	}
	id := func(t *testing.T, name string) v1.EntryID {
		id, err := v1.ParseEntryID(all[name].Path[len("/api/v1/log/entries/"):])
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	for _, c := range []struct {
		name        string
		kind        string
		attestation bool
	}{
		{"get-by-uuid-entryid", "hashedrekord", false},
		{"get-by-uuid-uuid", "hashedrekord", false},
		{"get-by-uuid-attestation", "intoto", true},
		{"get-by-uuid-attestation-intoto002", "intoto", true},
		{"get-by-uuid-dsse", "dsse", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e, err := open(t, c.name).ByID(t.Context(), id(t, c.name))
			if err != nil {
				t.Fatal(err)
			}
			if e.Kind != c.kind || (e.Attestation != nil) != c.attestation {
				t.Errorf("%+v", e)
			}
		})
	}
	t.Run("by index", func(t *testing.T) {
		t.Parallel()
		e, err := open(t, "get-by-index").ByIndex(t.Context(), 0)
		if err != nil || e.Index != 0 || e.Time.Year() != 2026 || e.Time.Location() != time.UTC {
			t.Errorf("%+v, %v", e, err)
		}
	})
	t.Run("not found", func(t *testing.T) {
		t.Parallel()
		_, err := open(t, "get-by-uuid-uuid-unknown").ByID(t.Context(), id(t, "get-by-uuid-uuid-unknown"))
		if verdict(err) != "not found" {
			t.Error(err)
		}
		_, err = open(t, "get-by-index-out-of-range").ByIndex(t.Context(), 1000)
		if verdict(err) != "not found" {
			t.Error(err)
		}
	})
	for name, existed := range map[string]bool{"create-hashedrekord": false, "create-hashedrekord-again": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := entry.ParseProposal([]byte(all[name].Body))
			if err != nil {
				t.Fatal(err)
			}
			r, err := open(t, name, "get-by-uuid-entryid").Upload(t.Context(), p)
			if err != nil || r.Existed != existed || r.Index != 0 {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
	for name, size := range map[string]int64{"loginfo": 6, "loginfo-empty": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i, err := open(t, name).LogInfo(t.Context())
			if err != nil || i.Tree.Size != size || i.TreeID != 3904496407287907110 || i.TotalSize != size || !i.First {
				t.Errorf("%+v, %v", i, err)
			}
		})
	}
}
