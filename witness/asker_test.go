package witness_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
	"github.com/cairnlog/cairn/storage/memory"
	"github.com/cairnlog/cairn/storage/storagetest"
	"github.com/cairnlog/cairn/witness"
)

func TestAsker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, twoOfThree)
		defer s.close()
		a := s.run(s.log)
		<-a.First()
		time.Sleep(time.Second)
		if by := s.log.published(t, s.policy, 0); by != "log.example a.example b.example c.example" {
			t.Errorf("signed by %s", by)
		}
		s.log.add(t, 0, 5)
		p, err := s.log.WaitPublished(t.Context(), 4)
		if err != nil || p.Tree.Size != 5 {
			t.Fatalf("%d, %v", p.Tree.Size, err)
		}
		s.log.add(t, 5, 300)
		time.Sleep(1500 * time.Millisecond)
		s.log.published(t, s.policy, 305)

		// A log that rests asks nobody, but for fresh cosignatures at times.
		before := s.counts["a"].count(200)
		time.Sleep(50 * time.Minute)
		if n := s.counts["a"].count(200); n != before {
			t.Errorf("%d requests while the log rests", n-before)
		}
		time.Sleep(20 * time.Minute)
		if n := s.counts["a"].count(200); n != before+1 {
			t.Errorf("%d requests to keep fresh, want 1", n-before)
		}
		for name, c := range s.counts {
			c.mu.Lock()
			for code, n := range c.codes {
				if code != 200 {
					t.Errorf("%s answered %d %d times", name, code, n)
				}
			}
			c.mu.Unlock()
		}
		st := a.Status()
		if st.Published != 305 || len(st.Witnesses) != 3 || st.Witnesses[1].Size != 305 || st.Witnesses[1].Failed != 0 || st.Witnesses[1].Cosigned < 3 {
			t.Errorf("status %+v", st)
		}
	})
}

// TestAskerStartsAgain opens the log anew: the sizes of witnesses are known
// from what is published, or they say so.
func TestAskerStartsAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, anyOfThree)
		s.counts["c"].answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
		s.run(s.log)
		s.log.add(t, 0, 5)
		time.Sleep(3 * time.Second)
		if by := s.log.published(t, s.policy, 5); by != "log.example a.example b.example" {
			t.Errorf("signed by %s", by)
		}
		s.close()
		s.log = openLog(t, s.party, s.store, false)
		s.log.published(t, s.policy, 5)
		s.counts["c"].answer(nil)
		s.counts["a"].answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
		s.run(s.log)
		defer s.close()
		s.log.add(t, 5, 5)
		time.Sleep(3 * time.Second)
		if by := s.log.published(t, s.policy, 10); by != "log.example b.example c.example" {
			t.Errorf("signed by %s", by)
		}
		if n := s.counts["b"].count(409); n != 0 {
			t.Errorf("%d requests out of date to a witness that is known from what is published", n)
		}
		// One that is back is asked again, and its line is added.
		s.counts["a"].answer(nil)
		time.Sleep(2 * time.Minute)
		if by := s.log.published(t, s.policy, 10); by != "log.example a.example b.example c.example" {
			t.Errorf("signed by %s", by)
		}
	})
}

// TestAskerQuorum has witnesses fail in each way: what is published has a
// quorum, or is what it was before.
func TestAskerQuorum(t *testing.T) {
	t.Parallel()
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	old := func(s *scene) http.HandlerFunc { // of another tree, whatever is asked
		return func(w http.ResponseWriter, _ *http.Request) {
			n := s.party.note(t, merkle.Tree{Size: 1, Root: merkle.EmptyRoot}, s.keys["a"])
			_, lines, _ := bytes.Cut(n, []byte("\n\n"))
			w.Write(lines)
		}
	}
	for name, bad := range map[string]func(*scene) http.HandlerFunc{
		"400":                  func(*scene) http.HandlerFunc { return status(400) },
		"403":                  func(*scene) http.HandlerFunc { return status(403) },
		"404":                  func(*scene) http.HandlerFunc { return status(404) },
		"429":                  func(*scene) http.HandlerFunc { return status(429) },
		"500":                  func(*scene) http.HandlerFunc { return status(500) },
		"503":                  func(*scene) http.HandlerFunc { return status(503) },
		"204":                  func(*scene) http.HandlerFunc { return status(204) },
		"nothing":              func(*scene) http.HandlerFunc { return status(200) },
		"a replayed signature": old,
		"redirect": func(*scene) http.HandlerFunc {
			return http.RedirectHandler("http://b.example/add-checkpoint", http.StatusTemporaryRedirect).ServeHTTP
		},
		"409 without a size":    func(*scene) http.HandlerFunc { return status409("") },
		"409 with a wrong size": func(*scene) http.HandlerFunc { return status409("-1\n") },
		"409 with its own size": func(*scene) http.HandlerFunc { return status409("0\n") },
		"409 in circles": func(*scene) http.HandlerFunc {
			n := 0
			return func(w http.ResponseWriter, r *http.Request) { n++; status409(fmt.Sprint(n%2, "\n"))(w, r) }
		},
		"a huge answer": func(*scene) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				io.WriteString(w, strings.Repeat("— a AAAAAAA=\n", 1<<20))
			}
		},
		"the signature of another witness": func(s *scene) http.HandlerFunc { return s.counts["b"].Handler.ServeHTTP },
		"a signature that is forged": func(s *scene) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				req, _ := io.ReadAll(r.Body)
				p, err := witness.ParseRequest(req)
				if err != nil {
					return
				}
				text, _, _ := bytes.Cut(p.Note, []byte("\n\n"))
				n, err := note.Sign(&note.Note{Text: string(text) + "\n"}, forged{s.keys["a"]})
				if err == nil {
					_, lines, _ := bytes.Cut(n, []byte("\n\n"))
					w.Write(lines)
				}
			}
		},
		"a clock that is wrong": func(s *scene) http.HandlerFunc {
			c, err := checkpoint.NewCosigner("a.example", newKey(t), func() time.Time { return time.Now().Add(-time.Hour) })
			if err != nil {
				t.Fatal(err)
			}
			w, err := witness.New(witness.Options{Store: memory.New(), Cosigner: c, Logs: []note.Verifier{s.party.verifier(t)}})
			if err != nil {
				t.Fatal(err)
			}
			return w.Handler(nil, nil).ServeHTTP
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, "group g all a b\nquorum g")
				defer s.close()
				s.counts["a"].answer(bad(s))
				a := s.run(s.log)
				s.log.add(t, 0, 3)
				time.Sleep(30 * time.Second)
				if p, err := s.log.Log.Published(t.Context()); err != nil || p.Cosigned {
					t.Fatalf("published without a quorum: %v\n%s", err, p.Note)
				}
				if trouble := a.Status().Trouble(time.Now()); trouble != "no quorum for 30s" {
					t.Errorf("trouble is %q", trouble)
				}
				if st := a.Status(); st.Witnesses[0].Failed == 0 || st.Witnesses[0].Failed > 20 || st.Witnesses[1].Cosigned == 0 {
					t.Errorf("status %+v", st)
				}
				s.counts["a"].answer(nil)
				time.Sleep(2 * time.Minute)
				s.log.published(t, s.policy, 3)
				if trouble := a.Status().Trouble(time.Now()); trouble != "" {
					t.Errorf("trouble is %q", trouble)
				}
				if n, err := s.outcome(); err != nil || n > 0 {
					t.Errorf("alarm: %v", err)
				}
			})
		})
	}
}

func status409(size string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/x.tlog.size")
		w.WriteHeader(409)
		io.WriteString(w, size)
	}
}

// TestAskerSlow has a witness that is slower than the log grows, and one that
// hangs: they hold up nobody.
func TestAskerSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, anyOfThree)
		defer s.close()
		s.counts["b"].wait(3 * time.Second)
		s.counts["c"].wait(time.Hour)
		s.run(s.log)
		for i := range 10 {
			s.log.add(t, i, 1)
			p, err := s.log.WaitPublished(t.Context(), int64(i))
			if err != nil || p.Tree.Size != int64(i)+1 {
				t.Fatalf("%d, %v", p.Tree.Size, err)
			}
		}
		time.Sleep(10 * time.Second)
		if by := s.log.published(t, s.policy, 10); by != "log.example a.example b.example" {
			t.Errorf("signed by %s", by)
		}
		s.counts["c"].wait(0)
		time.Sleep(time.Hour) // what hangs must come back before the bubble ends
	})
}

// TestAskerReplicas runs three replicas on one store. One asks, the others
// take over when it ends, and all publish the same.
func TestAskerReplicas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, twoOfThree)
		others := []replica{openLog(t, s.party, s.store, false), openLog(t, s.party, s.store, false)}
		defer s.close(others...)
		s.run(s.log)
		time.Sleep(300 * time.Millisecond)
		for _, o := range others {
			s.run(o)
		}
		for i := range 30 {
			s.log.add(t, i, 1)
			time.Sleep(time.Second)
		}
		time.Sleep(2 * time.Second)
		for _, l := range append(others, s.log) {
			s.log.published(t, s.policy, 30)
			l.published(t, s.policy, 30)
		}
		for name, c := range s.counts {
			if n := c.count(200); n < 25 || n > 45 {
				t.Errorf("%s has cosigned %d times in 30 s", name, n)
			}
			if n := c.count(409); n > 10 {
				t.Errorf("%s was asked out of date %d times", name, n)
			}
		}
		if _, err := s.outcome(); err != nil {
			t.Errorf("alarm: %v", err)
		}
	})
}

// TestAskerRollback sets the log back behind what witnesses have seen.
func TestAskerRollback(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		quorum string
		silent []string // witnesses that do not show what they have
		size   int      // of the log after it was set back
		branch int      // first number of the leaves it gets then
		alarm  bool
		proof  bool
	}{
		"fewer entries":                            {anyOfThree, nil, 3, 0, true, true},
		"no entries":                               {anyOfThree, nil, 0, 0, true, true},
		"same size, other root":                    {anyOfThree, nil, 10, 500, true, true},
		"more entries, another history":            {anyOfThree, nil, 20, 500, true, true},
		"without proof, by all":                    {twoOfThree, []string{"a", "b", "c"}, 3, 0, true, false},
		"without proof, by one that must be there": {"quorum a", []string{"a", "b", "c"}, 3, 0, true, false},
		"other root, without proof":                {"quorum a", []string{"a", "b", "c"}, 10, 500, true, false},
		"without proof, by one that need not be":   {"quorum b", []string{"a"}, 3, 0, false, false},
		"the same log, all of it":                  {anyOfThree, nil, 10, 0, false, false},
		"the same log, and more":                   {anyOfThree, nil, 15, 0, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, c.quorum)
				s.run(s.log)
				s.log.add(t, 0, 10)
				time.Sleep(3 * time.Second)
				s.log.published(t, s.policy, 10)
				s.close()

				s.store = memory.New()
				s.log = openLog(t, s.party, s.store, true)
				s.log.add(t, c.branch, c.size)
				for _, name := range c.silent {
					h := s.counts[name].Handler
					s.counts[name].answer(func(w http.ResponseWriter, r *http.Request) {
						if r.Method == http.MethodGet {
							w.WriteHeader(404)
							return
						}
						h.ServeHTTP(w, r)
					})
				}
				if !c.alarm && c.size < 10 { // the others have lost their memory
					for _, name := range []string{"b", "c"} {
						s.counts[name].answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
					}
				}
				a := s.run(s.log)
				<-a.First()
				if c.alarm {
					synctest.Wait()
					if n, _ := s.outcome(); n == 0 {
						t.Error("no alarm before the log serves")
					}
				}
				time.Sleep(time.Minute)
				defer s.close()
				if !c.alarm {
					if n, err := s.outcome(); err != nil || n > 0 {
						t.Fatalf("alarm: %v", err)
					}
					if err := s.log.Ready(t.Context()); err != nil {
						t.Error(err)
					}
					if c.size >= 10 {
						s.log.published(t, s.policy, int64(c.size))
					} else if !a.Status().Witnesses[0].Contradicts {
						t.Error("the status does not say that a witness contradicts the log")
					}
					return
				}
				var contradiction *witness.ContradictionError
				alarms, err := s.outcome()
				if !errors.As(err, &contradiction) || alarms != 1 || (contradiction.Proof != nil) != c.proof {
					t.Fatalf("%v, %d alarms; want one, proof: %t", err, alarms, c.proof)
				}
				if _, err := s.log.Add(t.Context(), log.Leaf{Body: []byte("x")}); !errors.Is(err, log.ErrClosed) {
					t.Errorf("the log still takes leaves: %v", err)
				}
				if err := s.log.Ready(t.Context()); !errors.As(err, &contradiction) {
					t.Errorf("the log is ready: %v", err)
				}
				evidence := string(contradiction.Evidence())
				if !strings.Contains(evidence, fmt.Sprintf("log.example\n%d\n", c.size)) || c.proof != strings.Contains(evidence, "log.example\n10\n") && c.size != 10 {
					t.Errorf("evidence:\n%s", evidence)
				}
			})
		})
	}
}

func TestNewAskerRefuses(t *testing.T) {
	t.Parallel()
	p, w := newParty(t, "log.example"), newParty(t, "other.example")
	c, err := checkpoint.NewCosigner("w.example", newKey(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	wit := "witness w " + c.VKey()
	for name, text := range map[string]string{
		"no log":       wit + " http://w.example\nquorum w\n",
		"another log":  "log " + w.vkey + "\n" + wit + " http://w.example\nquorum w\n",
		"no URL":       "log " + p.vkey + "\n" + wit + "\nquorum w\n",
		"no scheme":    "log " + p.vkey + "\n" + wit + " w.example\nquorum w\n",
		"other scheme": "log " + p.vkey + "\n" + wit + " file:///etc/passwd\nquorum w\n",
		"no host":      "log " + p.vkey + "\n" + wit + " http:///x\nquorum w\n",
		"query":        "log " + p.vkey + "\n" + wit + " http://w.example/?x\nquorum w\n",
		"no quorum":    "log " + p.vkey + "\n" + wit + " http://w.example\nquorum none\n",
	} {
		policy, err := checkpoint.ParsePolicy([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := witness.NewAsker(replica{}, witness.AskOptions{Origin: "log.example", Policy: policy}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestAskerStoreFaults has the store fail whenever something is published or
// read of it, in each way.
func TestAskerStoreFaults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, twoOfThree)
		f := storagetest.NewFaulty(memory.New())
		l := openLog(t, s.party, f, true)
		defer s.close(l)
		s.run(l)
		size := 0
		for _, method := range []string{"Publish", "Published", "Head"} {
			for _, fault := range []storagetest.Fault{storagetest.Before, storagetest.After, storagetest.Late} {
				l.add(t, size, 3)
				size += 3
				for n := range 3 {
					f.Fail(method, n, fault)
				}
				time.Sleep(10 * time.Second)
				f.Heal()
				l.published(t, s.policy, int64(size))
			}
		}
		if _, err := s.outcome(); err != nil {
			t.Errorf("alarm: %v", err)
		}
	})
}
