package checkpoint_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/merkle"
)

// newKey returns an Ed25519 key.
func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// newCosigner returns a witness whose clock stands at 1,700,000,000.
func newCosigner(t testing.TB, name string) *checkpoint.Cosigner {
	t.Helper()
	c, err := checkpoint.NewCosigner(name, newKey(t), func() time.Time { return time.Unix(1700000000, 0) })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// newLog returns the signer and vkey of a log.
func newLog(t testing.TB, origin string) (note.Signer, string) {
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
	return s, vkey
}

func signNote(t testing.TB, c checkpoint.Checkpoint, signers ...note.Signer) []byte {
	t.Helper()
	b, err := checkpoint.SignNote(c, signers...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parsePolicy(t testing.TB, lines ...string) *checkpoint.Policy {
	t.Helper()
	p, err := checkpoint.ParsePolicy([]byte(strings.Join(lines, "\n") + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPolicyQuorum(t *testing.T) {
	t.Parallel()
	log, logKey := newLog(t, "log.example")
	c := checkpoint.Checkpoint{Origin: "log.example", Tree: merkle.Tree{Size: 3, Root: merkle.HashLeaf([]byte("x"))}}
	names := []string{"x1", "x2", "x3", "y1", "y2", "spare"}
	cosigners := make(map[string]note.Signer)
	lines := []string{"# those who count", "log " + logKey + "\thttps://log.example/"}
	for _, n := range names {
		w := newCosigner(t, "witness.example/"+n)
		cosigners[n] = w
		lines = append(lines, fmt.Sprintf("  witness %s\t%s https://%s.example/w ", n, w.VKey(), n))
	}
	for quorum, cases := range map[string]map[string]bool{
		"group x 2 x1 x2 x3\ngroup y any y1 y2\ngroup both all x y\nquorum both": {
			"": false, "x1 x2": false, "y1 y2": false, "x1 y1": false, "x1 x3 y2": true, "x1 x2 x3 y1 y2 spare": true, "x1 x2 spare": false,
		},
		"group all all x1 x2\nquorum all": {"x1": false, "x2": false, "x1 x2": true},
		"group any any x1 x2\nquorum any": {"": false, "x1": true, "x2": true, "spare": false},
		"group one 1 x1 x2\nquorum one":   {"": false, "x2": true},
		"quorum spare":                    {"": false, "x1 x2": false, "spare": true},
		"quorum none":                     {"": true, "x1": true},
	} {
		p := parsePolicy(t, append(slices.Clone(lines), quorum)...)
		if len(p.Logs()) != 1 || p.Logs()[0].URL != "https://log.example/" || p.Logs()[0].VKey != logKey {
			t.Errorf("logs %+v", p.Logs())
		}
		if ws := p.Witnesses(); len(ws) != len(names) || ws[1].Name != "x2" || ws[1].URL != "https://x2.example/w" {
			t.Errorf("witnesses %+v", ws)
		}
		for by, want := range cases {
			signers := []note.Signer{log}
			for _, n := range strings.Fields(by) {
				signers = append(signers, cosigners[n])
			}
			got, err := p.Check(signNote(t, c, signers...))
			if (err == nil) != want {
				t.Errorf("%q signed by %q: %v, want met: %t", quorum, by, err, want)
			}
			if err == nil && got.Tree != c.Tree {
				t.Errorf("%q: checkpoint %+v", quorum, got)
			}
			again := parsePolicy(t, "log "+logKey, strings.TrimSpace(p.Quorum()))
			if _, err := again.Check(signNote(t, c, signers...)); (err == nil) != want || again.Quorum() != p.Quorum() {
				t.Errorf("%q signed by %q: by the quorum written anew %v\n%s", quorum, by, err, again.Quorum())
			}
			if met := p.Met(func(w string) bool { return slices.Contains(strings.Fields(by), w) }); met != want {
				t.Errorf("%q: Met by %q is %t", quorum, by, met)
			}
		}
	}
}

func TestPolicyCheckRefuses(t *testing.T) {
	t.Parallel()
	log, logKey := newLog(t, "log.example")
	other, otherKey := newLog(t, "other.example")
	stranger, _ := newLog(t, "log.example")
	w := newCosigner(t, "witness.example")
	tree := merkle.Tree{Size: 3, Root: merkle.HashLeaf([]byte("x"))}
	c := checkpoint.Checkpoint{Origin: "log.example", Tree: tree}
	p := parsePolicy(t, "log "+logKey, "log "+otherKey, "witness w "+w.VKey(), "quorum w")
	good := signNote(t, c, log, w)
	if _, err := p.Check(good); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Check(signNote(t, c, stranger, log, w)); err != nil {
		t.Errorf("with a line of a stranger: %v", err)
	}
	later := checkpoint.Checkpoint{Origin: "log.example", Tree: merkle.Tree{Size: 4, Root: tree.Root}}
	transplanted := append([]byte(later.Text()), good[strings.Index(string(good), "\n\n")+1:]...)
	onlyWitness := signNote(t, c, w)
	for name, msg := range map[string][]byte{
		"not a note":                       []byte("x"),
		"no signature of a known log":      signNote(t, c, stranger, w),
		"signed by the witness alone":      onlyWitness,
		"signed by another log":            signNote(t, c, other, w),
		"no cosignature":                   signNote(t, c, log),
		"signatures of another checkpoint": transplanted,
		"too large":                        append(slices.Clone(good), strings.Repeat("x\n", 1<<20)...),
		"cosignature with another time":    retimed(t, good, w),
	} {
		if got, err := p.Check(msg); err == nil {
			t.Errorf("%s: checked as %+v", name, got)
		}
	}
	none := parsePolicy(t, "quorum none")
	if _, err := none.Check(good); err == nil {
		t.Error("a policy without logs accepts a checkpoint")
	}
}

func TestParsePolicyRefuses(t *testing.T) {
	t.Parallel()
	_, logKey := newLog(t, "log.example")
	w1, w2 := newCosigner(t, "w1"), newCosigner(t, "w2")
	base := "witness w1 " + w1.VKey() + "\nwitness w2 " + w2.VKey() + "\n"
	sameKey := newKey(t)
	a, err := checkpoint.NewCosigner("a", sameKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := checkpoint.NewCosigner("b", sameKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	many := func(line func(i int) string) string {
		var s strings.Builder
		for i := range 65 {
			s.WriteString(line(i))
		}
		return s.String() + "quorum none\n"
	}
	for name, text := range map[string]string{
		"empty":                              "",
		"no quorum":                          base,
		"two quorums":                        base + "quorum w1\nquorum w1\n",
		"quorum of nobody":                   base + "quorum w3\n",
		"quorum before its witness":          "quorum w1\n" + base,
		"quorum without name":                base + "quorum\n",
		"quorum with two names":              base + "quorum w1 w2\n",
		"unknown word":                       base + "quorums w1\n",
		"word in capitals":                   base + "Quorum w1\n",
		"log without key":                    "log\nquorum none\n",
		"log with too much":                  "log " + logKey + " https://a b\nquorum none\n",
		"log with the key of a witness":      "log " + w1.VKey() + "\nquorum none\n",
		"log twice":                          "log " + logKey + "\nlog " + logKey + "\nquorum none\n",
		"witness without key":                "witness w\nquorum none\n",
		"witness with the key of a log":      "witness w " + logKey + "\nquorum w\n",
		"witness with a broken key":          "witness w " + w1.VKey()[:len(w1.VKey())-4] + "\nquorum w\n",
		"one name for two witnesses":         "witness w " + w1.VKey() + "\nwitness w " + w2.VKey() + "\nquorum w\n",
		"one key under two names":            "witness w " + w1.VKey() + "\nwitness v " + w1.VKey() + "\nquorum w\n",
		"one key under two names of its own": "witness a " + a.VKey() + "\nwitness b " + b.VKey() + "\nquorum a\n",
		"witness called none":                "witness none " + w1.VKey() + "\nquorum none\n",
		"group called none":                  base + "group none any w1\nquorum none\n",
		"group with the name of a witness":   base + "group w1 any w2\nquorum w1\n",
		"group without members":              base + "group g any\nquorum g\n",
		"group of itself":                    base + "group g any g\nquorum g\n",
		"group of none":                      base + "group g any none\nquorum g\n",
		"member twice":                       base + "group g any w1 w1\nquorum g\n",
		"member of two groups":               base + "group g any w1\ngroup h any w1 w2\nquorum h\n",
		"group of 0":                         base + "group g 0 w1 w2\nquorum g\n",
		"group of more than there are":       base + "group g 3 w1 w2\nquorum g\n",
		"group of +1":                        base + "group g +1 w1 w2\nquorum g\n",
		"group of 01":                        base + "group g 01 w1 w2\nquorum g\n",
		"group of a huge number":             base + "group g 99999999999999999999 w1 w2\nquorum g\n",
		"carriage return":                    base + "quorum w1\r\n",
		"NUL":                                base + "quorum w1\x00\n",
		"DEL":                                base + "# \x7f\nquorum w1\n",
		"comment behind a line":              base + "quorum w1 # of two\n",
		"65 witnesses": many(func(i int) string {
			return fmt.Sprintf("witness n%d %s\n", i, newCosigner(t, fmt.Sprint("n", i)).VKey())
		}),
		"65 groups": func() string {
			s := "witness g " + w1.VKey() + "\n"
			return s + many(func(i int) string {
				if i == 0 {
					return "group g0 any g\n"
				}
				return fmt.Sprintf("group g%d any g%d\n", i, i-1)
			})
		}(),
		"over a mebibyte": base + strings.Repeat("#\n", 1<<19) + "quorum w1\n",
	} {
		if _, err := checkpoint.ParsePolicy([]byte(text)); err == nil {
			t.Errorf("%s: parsed", name)
		}
	}
	for name, text := range map[string]string{
		"no newline at the end":    base + "quorum w1",
		"tabs and spaces":          base + "\t quorum\t \tw1 \n",
		"comments":                 " # a\n" + base + "#quorum\nquorum w1\n",
		"names that are not UTF-8": "witness \xff " + w1.VKey() + "\nquorum \xff\n",
		"names that are words":     "witness all " + w1.VKey() + "\ngroup quorum all all\nquorum quorum\n",
		"lines after the quorum":   "witness w1 " + w1.VKey() + "\nquorum w1\nwitness w2 " + w2.VKey() + "\n",
		"nothing but none":         "quorum none\n",
	} {
		if _, err := checkpoint.ParsePolicy([]byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzParsePolicy looks for panics, and for a policy that asks for more than
// all its witnesses.
func FuzzParsePolicy(f *testing.F) {
	w := newCosigner(f, "w")
	_, logKey := newLog(f, "log.example")
	f.Add([]byte("log " + logKey + " https://log.example\nwitness w " + w.VKey() + "\ngroup g all w\nquorum g\n"))
	f.Add([]byte("quorum none\n"))
	f.Add([]byte("witness a b\ngroup g 2 a\nquorum g"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := checkpoint.ParsePolicy(text)
		if err != nil {
			return
		}
		if !p.Met(func(string) bool { return true }) {
			t.Error("all witnesses do not meet the quorum")
		}
		again, err := checkpoint.ParsePolicy([]byte(p.Quorum()))
		if err != nil || again.Quorum() != p.Quorum() {
			t.Errorf("written anew as %q: %v", p.Quorum(), err)
		}
	})
}
