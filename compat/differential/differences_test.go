package differential

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A difference is a known one: what Cairn answers in another way, and means to.
type difference struct {
	name  string   // on docs/design/differences.md
	kinds []string // nil for all
	field string
	// What both have to say for it: of a verdict the error, "" for acceptance.
	ours, rekor *regexp.Regexp
}

var (
	none     = regexp.MustCompile(`^$`) // accepted
	anything = regexp.MustCompile(``)
)

var differences = []difference{
	{"server-limit", []string{"alpine", "jar"}, "verdict", regexp.MustCompile(`exceeds max allowed size 1048576`), none},
	{"cose-artifact", []string{"cose"}, "artifact", anything, anything},
	{"helm-artifact", []string{"helm"}, "artifact", anything, anything},
	{"helm-hash", []string{"helm"}, "verdict", regexp.MustCompile(`should be one of \[sha256\]`), none},
	{"dsse-base64", []string{"dsse"}, "verdict", regexp.MustCompile(`is not in the standard base64 alphabet`), none},
	{"helm-files", []string{"helm"}, "verdict", regexp.MustCompile(`^invalid hash found in Provenance file$`), none},
	{"intoto-keys", []string{"intoto"}, "keys", anything, regexp.MustCompile(`^json: cannot unmarshal|^invalid character|^unexpected end of JSON`)},
	{"jar-foreign-block", []string{"jar"}, "verdict", regexp.MustCompile(`signature block that belongs to no sigfile`), none},
	{"pgp-signature", []string{"rpm"}, "verdict", regexp.MustCompile(`^PGP signature in the RPM header is cut off$`), none},
	{"rpm-header", []string{"rpm"}, "verdict", regexp.MustCompile(`tags of the RPM header overlap`), none},
	{"pgp-ring", pgpKinds, "verdict", regexp.MustCompile(`^error reading (binary )?PGP public key: (unexpected EOF$|malformed PGP signature packet|PGP packet of type|openpgp: invalid data: tag byte)`), none},
	{"pgp-secret-key", pgpKinds, "verdict", regexp.MustCompile(`this is a secret key`), none},
	{"pgp-signature", pgpKinds, "verdict", regexp.MustCompile(`^invalid PGP signature: (unexpected EOF|openpgp: invalid data: tag byte)`), none},
}

// pgpKinds are the kinds with OpenPGP keys.
var pgpKinds = []string{"helm", "rekord", "rpm"}

// explain returns the name of a difference, "" for one that nobody knows.
func explain(kind string, f finding) string {
	for _, d := range differences {
		if d.field == f.field && (d.kinds == nil || slices.Contains(d.kinds, kind)) &&
			d.ours.MatchString(f.ours) && d.rekor.MatchString(f.rekor) {
			return d.name
		}
	}
	return ""
}

// TestDifferencesAreDocumented wants each name on the page that says why.
func TestDifferencesAreDocumented(t *testing.T) {
	t.Parallel()
	page := mustRead(t, "../../docs/design/differences.md")
	var names []string
	for _, d := range differences {
		names = append(names, d.name)
	}
	for _, d := range keyDifferences {
		names = append(names, d.name)
	}
	for _, name := range names {
		if !strings.Contains(page, "| "+name+" |") {
			t.Errorf("docs/design/differences.md does not name %q", name)
		}
	}
}

func mustRead(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
