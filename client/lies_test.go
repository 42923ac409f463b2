package client_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cairnlog/cairn/client"
)

// verdict is the sort of an error.
func verdict(err error) string {
	var alarm *client.AlarmError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &alarm):
		return "alarm: " + string(alarm.Discord)
	case errors.As(err, new(*client.VerifyError)):
		return "verify"
	case errors.As(err, new(*client.NetworkError)):
		return "network"
	case errors.Is(err, client.ErrNotFound):
		return "not found"
	case errors.As(err, new(*client.StatusError)):
		return "status"
	}
	return err.Error()
}

// TestLies has a log that answers one question wrongly, in every way.
func TestLies(t *testing.T) {
	t.Parallel()
	key, other := newKey(t), newKey(t)
	honest := newLog(t, key, testTree, "main", 7)
	entries := func(lie func(id string, answer, entry, proof map[string]any)) http.Handler {
		return lying(honest.handler, "/api/v1/log/entries", func(a map[string]any) {
			id, e := only(a)
			lie(id, a, e, member(e, "verification", "inclusionProof").(map[string]any))
		})
	}
	const elsewhere = 5 // the index of another entry
	otherEntry := func(t *testing.T) map[string]any {
		return fetchJSON(t, honest.handler, "/api/v1/log/entries?logIndex=5")
	}
	cases := []struct {
		name string
		show func(t *testing.T) http.Handler
		want string
		text string // part of the message
	}{
		{"honest", func(*testing.T) http.Handler { return honest.handler }, "ok", ""},
		{"wrong leaf", func(*testing.T) http.Handler {
			return entries(func(_ string, _, e, _ map[string]any) {
				e["body"] = base64.StdEncoding.EncodeToString(body("main", elsewhere))
			})
		}, "verify", "hash of the body"},
		{"wrong leaf with its id", func(t *testing.T) http.Handler {
			return entries(func(id string, a, e, _ map[string]any) {
				otherID, o := only(otherEntry(t))
				e["body"] = o["body"]
				delete(a, id)
				a[otherID] = e
			})
		}, "verify", "inclusion"},
		{"another entry than asked for", func(t *testing.T) http.Handler {
			return entries(func(id string, a, _, _ map[string]any) {
				otherID, o := only(otherEntry(t))
				delete(a, id)
				a[otherID] = o
			})
		}, "verify", "asked for"},
		{"wrong index", func(*testing.T) http.Handler {
			return entries(func(_ string, _, e, _ map[string]any) { e["logIndex"] = 6 })
		}, "verify", "timestamp"},
		{"wrong index in the tree", func(*testing.T) http.Handler {
			return entries(func(_ string, _, _, p map[string]any) { p["logIndex"] = 2 })
		}, "verify", "inclusion"},
		{"index past the tree", func(*testing.T) http.Handler {
			return entries(func(_ string, _, _, p map[string]any) { p["logIndex"] = 1000 })
		}, "verify", "inclusion"},
		{"negative index", func(*testing.T) http.Handler {
			return entries(func(_ string, _, _, p map[string]any) { p["logIndex"] = -1 })
		}, "verify", "inclusion"},
		{"wrong time", func(*testing.T) http.Handler {
			return entries(func(_ string, _, e, _ map[string]any) { e["integratedTime"] = 1 })
		}, "verify", "timestamp"},
		{"wrong log id", func(*testing.T) http.Handler {
			return entries(func(_ string, _, e, _ map[string]any) { e["logID"] = strings.Repeat("0", 64) })
		}, "verify", "timestamp"},
		{"promise of another entry", func(t *testing.T) http.Handler {
			return entries(func(_ string, _, e, _ map[string]any) {
				_, o := only(otherEntry(t))
				member(e, "verification").(map[string]any)["signedEntryTimestamp"] = member(o, "verification", "signedEntryTimestamp")
			})
		}, "verify", "timestamp"},
		{"no promise", func(*testing.T) http.Handler {
			return entries(func(_ string, _, e, _ map[string]any) {
				delete(member(e, "verification").(map[string]any), "signedEntryTimestamp")
			})
		}, "verify", "timestamp"},
		{"no proof", func(*testing.T) http.Handler {
			return entries(func(_ string, _, e, _ map[string]any) { delete(e, "verification") })
		}, "verify", "no proof"},
		{"a hash of the proof changed", func(*testing.T) http.Handler {
			return entries(func(_ string, _, _, p map[string]any) {
				p["hashes"].([]any)[0] = strings.Repeat("0", 64)
			})
		}, "verify", "inclusion"},
		{"a hash of the proof cut", func(*testing.T) http.Handler {
			return entries(func(_ string, _, _, p map[string]any) { p["hashes"].([]any)[0] = "00" })
		}, "verify", "proof"},
		{"endless proof", func(*testing.T) http.Handler {
			return entries(func(_ string, _, _, p map[string]any) {
				hashes := make([]any, 10000)
				for i := range hashes {
					hashes[i] = strings.Repeat("0", 64)
				}
				p["hashes"] = hashes
			})
		}, "verify", "longer than any tree"},
		{"root that is not the checkpoint's", func(*testing.T) http.Handler {
			return entries(func(_ string, _, _, p map[string]any) { p["rootHash"] = strings.Repeat("0", 64) })
		}, "verify", "checkpoint"},
		{"size that is not the checkpoint's", func(*testing.T) http.Handler {
			return entries(func(_ string, _, _, p map[string]any) { p["treeSize"] = 8 })
		}, "verify", "checkpoint"},
		{"checkpoint by another key", func(t *testing.T) http.Handler {
			return newLog(t, other, testTree, "main", 7).handler
		}, "verify", "by key"},
		{"checkpoint with a flipped signature", func(*testing.T) http.Handler {
			return entries(func(_ string, _, _, p map[string]any) {
				note := []byte(p["checkpoint"].(string))
				i := len(note) - 20
				note[i] = map[bool]byte{true: 'B', false: 'A'}[note[i] == 'A']
				p["checkpoint"] = string(note)
			})
		}, "verify", "checkpoint"},
		{"checkpoint is no note", func(*testing.T) http.Handler {
			return entries(func(_ string, _, _, p map[string]any) { p["checkpoint"] = "hello" })
		}, "verify", "checkpoint"},
		{"checkpoint of another tree", func(t *testing.T) http.Handler {
			return lying(newLog(t, key, 2002, "main", 7).handler, "/api/v1/log/entries", func(a map[string]any) {
				id, e := only(a)
				delete(a, id)
				a["00000000000003e9"+id[16:]] = e
			})
		}, "verify", "of tree 2002"},
		{"two entries", func(t *testing.T) http.Handler {
			return entries(func(_ string, a, _, _ map[string]any) {
				id, o := only(otherEntry(t))
				a[id] = o
			})
		}, "verify", "2 entries"},
		{"no entry", func(*testing.T) http.Handler {
			return entries(func(id string, a, _, _ map[string]any) { delete(a, id) })
		}, "verify", "0 entries"},
		{"null entry", func(*testing.T) http.Handler {
			return entries(func(id string, a, _, _ map[string]any) { a[id] = nil })
		}, "verify", "no proof"},
		{"members nobody knows", func(*testing.T) http.Handler {
			return entries(func(_ string, _, e, p map[string]any) { e["x"], p["y"] = 1, []int{2} })
		}, "ok", ""},
		{"id without a tree", func(*testing.T) http.Handler {
			return entries(func(id string, a, e, _ map[string]any) {
				delete(a, id)
				a[id[16:]] = e
			})
		}, "verify", "tree id"},
		{"id that is no id", func(*testing.T) http.Handler {
			return entries(func(id string, a, e, _ map[string]any) {
				delete(a, id)
				a["\x1b[31mred"] = e
			})
		}, "verify", "entry id"},
		{"attestation that is not the payload", func(*testing.T) http.Handler {
			return entries(func(_ string, _, e, _ map[string]any) { e["attestation"] = map[string]any{"data": "aGVsbG8="} })
		}, "verify", "attestation"},
		{"body in bad base64", func(*testing.T) http.Handler {
			return entries(func(_ string, _, e, _ map[string]any) { e["body"] = "!" })
		}, "verify", "body"},
		{"numbers as text", func(*testing.T) http.Handler {
			return entries(func(_ string, _, e, _ map[string]any) { e["logIndex"] = "3" })
		}, "network", "not the JSON"},
		{"not JSON", func(*testing.T) http.Handler { return answer(200, "application/json", "{") }, "network", "not the JSON"},
		{"an array", func(*testing.T) http.Handler { return answer(200, "application/json", "[]") }, "network", "not the JSON"},
		{"a web page", func(*testing.T) http.Handler { return answer(200, "text/html; charset=utf-8", "<html>hello") }, "network", "address of a log"},
		{"no content type", func(*testing.T) http.Handler { return answer(200, "", "{}") }, "network", "address of a log"},
		{"bad gateway with a web page", func(*testing.T) http.Handler { return answer(502, "text/html", "<html><b>nginx</b></html>") }, "status", "web page"},
		{"bad gateway with colours", func(*testing.T) http.Handler { return answer(502, "text/plain", "\x1b[2J\u202eevil") }, "status", `\u001b[2J\u202eevil`},
		{"not found", func(*testing.T) http.Handler { return answer(404, "", "") }, "not found", "404"},
		{"refused", func(*testing.T) http.Handler { return answer(400, "application/json", `{"code":400,"message":"no"}`) }, "status", "400 Bad Request: no"},
		{"redirect elsewhere", func(*testing.T) http.Handler {
			return http.RedirectHandler("http://evil.test/api/v1/log", http.StatusTemporaryRedirect)
		}, "network", "evil.test"},
		{"redirect without a target", func(*testing.T) http.Handler { return answer(302, "", "") }, "network", "redirected elsewhere"},
		{"not modified", func(*testing.T) http.Handler { return answer(304, "", "") }, "network", "redirected"},
		{"no content", func(*testing.T) http.Handler { return answer(204, "", "") }, "status", "204"},
		{"body that is cut off", func(*testing.T) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Content-Length", "1000")
				w.Write([]byte("{"))
			})
		}, "network", "read answer"},
		{"body that never ends", func(*testing.T) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				chunk := []byte(strings.Repeat(" ", 1<<20))
				for r.Context().Err() == nil {
					if _, err := w.Write(chunk); err != nil {
						return
					}
				}
			})
		}, "network", "over 67108864 bytes"},
		{"body that never comes", func(*testing.T) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.Write([]byte("{"))
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			})
		}, "network", "in time"},
		{"no answer", func(*testing.T) http.Handler {
			return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		}, "network", "in time"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			timeout := 30 * time.Second
			if strings.Contains(c.text, "in time") {
				timeout = 100 * time.Millisecond
			}
			l := newClient(t, newStage(t, c.show(t)), client.Options{Key: key.Public(), Timeout: timeout})
			_, err := l.ByIndex(t.Context(), 3)
			if got := verdict(err); got != c.want {
				t.Fatalf("%s (%v), want %s", got, err, c.want)
			}
			if err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %q does not say %q", err, c.text)
			}
			if err != nil && strings.ContainsAny(err.Error(), "\x1b\u202e") {
				t.Errorf("error %q changes the terminal", err)
			}
		})
	}
}

// TestHistory has a log that answers honestly first, and is another afterwards.
func TestHistory(t *testing.T) {
	t.Parallel()
	key, other := newKey(t), newKey(t)
	before := newLog(t, key, testTree, "main", 7)
	cases := []struct {
		name string
		show func(t *testing.T) http.Handler
		want string
	}{
		{"the same", func(t *testing.T) http.Handler { return before.handler }, "ok"},
		{"grown", func(t *testing.T) http.Handler { return newLog(t, key, testTree, "main", 12).handler }, "ok"},
		{"split view, same size", func(t *testing.T) http.Handler { return newLog(t, key, testTree, "fork", 7).handler }, "alarm: " + string(client.OtherRoot)},
		{"split view, larger", func(t *testing.T) http.Handler { return newLog(t, key, testTree, "fork", 12).handler }, "alarm: " + string(client.Inconsistent)},
		{"shrunken", func(t *testing.T) http.Handler { return newLog(t, key, testTree, "main", 4).handler }, "alarm: " + string(client.Shrunken)},
		{"shrunken and split", func(t *testing.T) http.Handler { return newLog(t, key, testTree, "fork", 4).handler }, "alarm: " + string(client.Shrunken)},
		{"emptied", func(t *testing.T) http.Handler { return newLog(t, key, testTree, "main", 0).handler }, "alarm: " + string(client.Shrunken)},
		{"older, split, with a proof from elsewhere", func(t *testing.T) http.Handler {
			return replica(newLog(t, key, testTree, "fork", 4).handler, before.handler)
		}, "alarm: " + string(client.Inconsistent)},
		{"older replica", func(t *testing.T) http.Handler {
			return replica(newLog(t, key, testTree, "main", 4).handler, before.handler)
		}, "ok"},
		{"other tree id", func(t *testing.T) http.Handler { return newLog(t, key, 2002, "main", 7).handler }, "alarm: " + string(client.OtherOrigin)},
		{"other key", func(t *testing.T) http.Handler { return newLog(t, other, testTree, "main", 7).handler }, "alarm: " + string(client.OtherKey)},
		{"growth it does not prove", func(t *testing.T) http.Handler {
			grown := newLog(t, key, testTree, "main", 12).handler
			return replica(grown, answer(400, "application/json", `{"code":400,"message":"no"}`))
		}, "verify"},
		{"growth with a broken proof", func(t *testing.T) http.Handler {
			grown := newLog(t, key, testTree, "main", 12).handler
			return lying(grown, "/api/v1/log/proof", func(a map[string]any) { a["hashes"] = []string{strings.Repeat("0", 64)} })
		}, "alarm: " + string(client.Inconsistent)},
		{"growth with trouble on the way", func(t *testing.T) http.Handler {
			return replica(newLog(t, key, testTree, "main", 12).handler, answer(503, "", ""))
		}, "status"},
		{"log info with another size than its checkpoint", func(t *testing.T) http.Handler {
			return lying(before.handler, "/api/v1/log", func(a map[string]any) { a["treeSize"] = 8 })
		}, "verify"},
		{"log info with another root than its checkpoint", func(t *testing.T) http.Handler {
			return lying(before.handler, "/api/v1/log", func(a map[string]any) { a["rootHash"] = strings.Repeat("0", 64) })
		}, "verify"},
		{"log info with another tree id than its checkpoint", func(t *testing.T) http.Handler {
			return lying(before.handler, "/api/v1/log", func(a map[string]any) { a["treeID"] = "7" })
		}, "verify"},
		{"frozen shard that nobody signed", func(t *testing.T) http.Handler {
			return lying(before.handler, "/api/v1/log", func(a map[string]any) {
				a["inactiveShards"] = []any{map[string]any{"treeID": "7", "treeSize": 1 << 40, "signedTreeHead": "x", "rootHash": "x"}}
			})
		}, "verify"},
		{"itself as its own frozen shard", func(t *testing.T) http.Handler {
			return lying(before.handler, "/api/v1/log", func(a map[string]any) {
				if a["signedTreeHead"] != nil {
					a["inactiveShards"] = []any{map[string]any{"treeID": "7", "treeSize": 7, "signedTreeHead": a["signedTreeHead"], "rootHash": "x"}}
				}
			})
		}, "verify"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			state := new(client.Memory)
			s := newStage(t, before.handler)
			l := newClient(t, s, client.Options{State: state, Trust: func(client.Offer) error { return nil }})
			if _, err := l.LogInfo(t.Context()); err != nil {
				t.Fatal(err)
			}
			kept, _ := state.Load(t.Context())
			s.set(c.show(t))
			// The same run, and a later one, come to the same verdict.
			later := newClient(t, s, client.Options{State: state})
			for _, l := range []*client.Client{l, later} {
				_, err := l.LogInfo(t.Context())
				if got := verdict(err); got != c.want {
					t.Fatalf("%s (%v), want %s", got, err, c.want)
				}
				var a *client.AlarmError
				if errors.As(err, &a) && (len(a.Now) == 0 || len(a.Before.Checkpoint) == 0 || len(a.Before.Key) == 0) {
					t.Errorf("alarm without evidence: %+v", a)
				}
			}
			if c.want != "ok" {
				if now, _ := state.Load(t.Context()); string(now.Checkpoint) != string(kept.Checkpoint) {
					t.Error("what is remembered was overwritten")
				}
			}
		})
	}
}

// TestOlder has a replica that is behind, which is told and not an alarm.
func TestOlder(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	newer := newLog(t, key, testTree, "main", 7)
	behind := newLog(t, key, testTree, "main", 4)
	state := new(client.Memory)
	s := newStage(t, newer.handler)
	l := newClient(t, s, client.Options{State: state, Key: key.Public()})
	if e, err := l.ByIndex(t.Context(), 3); err != nil || e.Older {
		t.Fatalf("%v, %v", e, err)
	}
	s.set(replica(behind.handler, newer.handler))
	l = newClient(t, s, client.Options{State: state, Key: key.Public()})
	e, err := l.ByIndex(t.Context(), 3)
	if err != nil || !e.Older || e.Proof.Tree.Size != 4 {
		t.Fatalf("%+v, %v", e, err)
	}
	info, err := l.LogInfo(t.Context())
	if err != nil || !info.Older || info.Before.Size != 7 {
		t.Fatalf("%+v, %v", info, err)
	}
	if err := l.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if k, _ := state.Load(t.Context()); !strings.Contains(string(k.Checkpoint), "\n7\n") {
		t.Errorf("an older tree was remembered: %s", k.Checkpoint)
	}
}

// replica answers like behind, but for consistency proofs.
func replica(behind, proofs http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1/log/proof" {
			proofs.ServeHTTP(w, r)
			return
		}
		behind.ServeHTTP(w, r)
	})
}

// answer gives the same answer to everything.
func answer(status int, kind, text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil
		if kind != "" {
			w.Header().Set("Content-Type", kind)
		}
		w.WriteHeader(status)
		w.Write([]byte(text))
	})
}

func fetchJSON(t *testing.T, h http.Handler, path string) map[string]any {
	t.Helper()
	rec := newRecorder(h, path)
	var v map[string]any
	if err := json.Unmarshal(rec.Body.Bytes(), &v); err != nil {
		t.Fatalf("%s: %d %s", path, rec.Code, rec.Body)
	}
	return v
}
