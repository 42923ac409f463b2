package differential

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"

	rekorpki "github.com/sigstore/rekor/pkg/pki"

	"github.com/cairnlog/cairn/pki"
)

// keyDifferences are those of keys alone, by the format and what Cairn says.
var keyDifferences = []struct {
	name, format string
	ours         *regexp.Regexp
}{
	{"pgp-ring", "pgp", regexp.MustCompile(`unexpected EOF$|malformed PGP signature packet|PGP packet of type|openpgp: invalid data: tag byte`)},
	{"pgp-secret-key", "pgp", regexp.MustCompile(`this is a secret key`)},
	{"pkcs7-key", "pkcs7", regexp.MustCompile(`^x509: unsupported public key type`)},
}

// A parsed is a key as both describe it.
type parsed struct {
	err       error
	canonical []byte
	subjects  []string
}

func parseTheirs(format string, text []byte) (p parsed) {
	defer func() {
		if r := recover(); r != nil {
			p = parsed{err: fmt.Errorf("panic: %v", r)}
		}
	}()
	f, err := rekorpki.NewArtifactFactory(rekorpki.Format(format))
	if err != nil {
		return parsed{err: err}
	}
	k, err := f.NewPublicKey(bytes.NewReader(text))
	if err != nil {
		return parsed{err: err}
	}
	p.canonical, p.err = k.CanonicalValue()
	p.subjects = set(k.Subjects())
	return p
}

func parseOurs(format string, text []byte) parsed {
	k, err := pki.Parse(format, text)
	if err != nil {
		return parsed{err: err}
	}
	return parsed{canonical: k.Canonical(), subjects: set(k.Subjects())}
}

// TestKeys compares the canonical form of keys, by whose hash entries are
// found, and who they speak for, in every format.
func TestKeys(t *testing.T) {
	if err := silence(); err != nil {
		t.Fatal(err)
	}
	keys, err := newKeys()
	if err != nil {
		t.Fatal(err)
	}
	formats := []string{"minisign", "pgp", "pkcs7", "ssh", "tuf", "x509"}
	for i, format := range formats {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			m := &mutator{Rand: rand.New(rand.NewPCG(*seed, uint64(i))), keys: keys, pool: []any{"x", nil}}
			var seeds [][]byte
			var recorded []struct {
				Input []byte `json:"input_b64"`
				OK    bool   `json:"ok"`
			}
			if err := json.Unmarshal([]byte(mustRead(t, "../../pki/testdata/"+format+".json")), &recorded); err != nil {
				t.Fatal(err)
			}
			for j, v := range recorded {
				if len(v.Input) > 0 && (v.OK || j%3 == 0) {
					seeds = append(seeds, v.Input)
					m.pems = append(m.pems, string(v.Input))
				}
			}
			accepted, unexplained, names := 0, 0, map[string]int{}
			n := (*inputs + len(formats) - 1) / len(formats)
			for range n {
				text := bytes.Clone(pick(m, seeds))
				for range m.IntN(3) {
					if len(text) > 0 {
						text = m.changeBytes(text, pick(m, seeds))
					}
				}
				got, want := parseOurs(format, text), parseTheirs(format, text)
				for range 300 { // user IDs come in any order
					if got.err != nil || want.err != nil || bytes.Equal(got.canonical, want.canonical) {
						break
					}
					want = parseTheirs(format, text)
				}
				switch {
				case got.err != nil && want.err != nil:
				case got.err == nil && want.err == nil && bytes.Equal(got.canonical, want.canonical) && slices.Equal(got.subjects, want.subjects):
					accepted++
				case got.err != nil && explainKey(format, got.err) != "":
					names[explainKey(format, got.err)]++
				default:
					if unexplained++; unexplained <= 3 {
						t.Errorf("ours is %v %q %q\nRekor's %v %q %q\nfor %.20000q", got.err, got.canonical, got.subjects, want.err, want.canonical, want.subjects, text)
					}
				}
			}
			t.Logf("%d keys, %d accepted, differences %v, not explained %d", n, accepted, names, unexplained)
		})
	}
}

func explainKey(format string, ours error) string {
	for _, d := range keyDifferences {
		if d.format == format && d.ours.MatchString(ours.Error()) {
			return d.name
		}
	}
	return ""
}
