package compat

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A recordedRun is what rekor-cli printed when it was run against Rekor.
type recordedRun struct {
	Name      string
	Args      []string
	Env       map[string]string
	ExitCode  int `json:"exit_code"`
	Stdout    string
	Stderr    string
	StateKeys []string          `json:"state_keys_after"`
	Content   map[string]string // of the state file
}

// What stood in the recording for what is here another.
const (
	recordedURL = "http://127.0.0.1:13000"
	recordedSHA = "21282515bb24f83d22ca460d0aa686fa750d6ebf15e595643bca6a912f57ef41" // of hello.txt
)

// A performer is a program that takes part in the replay.
type performer struct {
	program string
	ours    bool // it is cairn: its messages, exit codes and state are its own

	notRun       map[string]string // runs that it cannot do, with the reason
	exitCodeOnly map[string]string // runs whose text is another, with the reason
}

// performers are rekor-cli, of a release before the recorded one, and cairn,
// which serves under its name.
func performers() []performer {
	return []performer{
		{
			program: "rekor-cli",
			notRun: map[string]string{
				"search-subject": "--subject is newer than the release that is run here",
			},
			exitCodeOnly: map[string]string{
				"version":                   "prints the release",
				"no-args":                   "the help text of another release",
				"search-nothing":            "--subject is newer than the release that is run here",
				"upload-entry-missing-file": "the message of another release",
			},
		},
		{
			program: "cairn",
			ours:    true,
			notRun: map[string]string{
				"state-larger":             "forges rekor-cli's state file",
				"state-other-root":         "forges rekor-cli's state file",
				"state-smaller-other-root": "forges rekor-cli's state file",
				"state-garbage":            "forges rekor-cli's state file",
				"state-file":               "the state file is its own",
				"get-uuid-upper":           "cairn reads hex digits of either case",
				"loginfo-extra-arg":        "cairn refuses what it does not understand",
				"upload-hashedrekord-pgp":  "cairn makes a rekord where the key is none for a hashedrekord",
				"verify-intoto":            "rekor-cli sends nonsense here, cairn does not",
			},
			exitCodeOnly: map[string]string{
				"version":        "prints the program",
				"no-args":        "the help text",
				"search-nothing": "the help text",
			},
		},
	}
}

// TestRecordedRuns repeats runs of rekor-cli that were recorded against Rekor
// and wants the same exit codes and texts. Hashes may be others, as they are
// of other signatures; but where one stood twice, one has to stand twice.
func TestRecordedRuns(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "rekor-cli.json"))
	if err != nil {
		t.Fatal(err)
	}
	var runs []recordedRun
	if err := json.Unmarshal(data, &runs); err != nil {
		t.Fatal(err)
	}
	module, err := goCommand(t.Context(), "list", "-m", "-f", "{{.Dir}}", "github.com/sigstore/rekor")
	if err != nil {
		t.Fatal(err)
	}
	t.Parallel()
	for _, by := range performers() {
		t.Run(by.program, func(t *testing.T) {
			onEach(t, func(t *testing.T, s *server) {
				p := newReplay(t, s, by, filepath.Join(strings.TrimSpace(module), "tests"))
				for _, r := range runs {
					if by.notRun[r.Name] == "" {
						p.repeat(t, r)
					}
				}
			})
		})
	}
}

// A replay is a directory to repeat runs in, and what became of the hashes in
// the recording.
type replay struct {
	performer
	server        *server
	dir, home     string
	samples       string // the files in Rekor's own tests
	logKey        string
	now, recorded map[string]string // what stands for what, both ways
}

func newReplay(t *testing.T, s *server, by performer, samples string) *replay {
	t.Helper()
	p := &replay{performer: by, server: s, dir: t.TempDir(), samples: samples, now: map[string]string{}, recorded: map[string]string{}}
	p.home = filepath.Join(p.dir, "home")
	write := func(name string, data []byte, err error) {
		t.Helper()
		if err == nil {
			err = os.WriteFile(filepath.Join(p.dir, name), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(p.home, 0o750); err != nil {
		t.Fatal(err)
	}
	key, err := s.publicKey()
	if err != nil {
		t.Fatal(err)
	}
	p.logKey = string(key)

	k, err := newSigner("p256")
	if err != nil {
		t.Fatal(err)
	}
	k2, err := newSigner("p256")
	if err != nil {
		t.Fatal(err)
	}
	data, err := k.publicPEM()
	write("k.pub", data, err)
	data, err = k2.publicPEM()
	write("k2.pub", data, err)
	hello, other := []byte("hello, recorder\n"), []byte("other\n")
	write("hello.txt", hello, nil)
	data, err = k.signDetached(hello)
	write("hello.sig", data, err)
	write("other.txt", other, nil)
	data, err = k.signDetached(other)
	write("other.sig", data, err)
	p.match(recordedSHA, fmt.Sprintf("%x", digest(hello, k.hash)))

	// A ready proposal, by a certificate with two names.
	if err := k2.certify(nil, "alice@example.com", "https://github.com/Owner/Repo/.github/workflows/build.yml@refs/heads/main"); err != nil {
		t.Fatal(err)
	}
	proposal, err := proposeHashedRekord(k2, []byte("certified\n"), 1)
	if err != nil {
		t.Fatal(err)
	}
	data, err = json.Marshal(proposal)
	write("entry.json", data, err)
	write("bad.json", data[:len(data)/2], nil)
	return p
}

// match notes that ours stands for what was recorded, and tells whether that
// is so everywhere.
func (p *replay) match(recorded, ours string) bool {
	o, known := p.now[recorded]
	r, taken := p.recorded[ours]
	if known || taken {
		return o == ours && r == recorded
	}
	p.now[recorded], p.recorded[ours] = ours, recorded
	return true
}

// names are what is other in each log: leaf hashes, roots, key ids; entry ids,
// which begin with the tree's; and the tree id in decimal.
var names = regexp.MustCompile(`[0-9a-f]{80}|[0-9a-f]{64}|\b[0-9]{16,19}\b`)

// here replaces what was recorded by what it is here.
func (p *replay) here(s string) string {
	s = strings.ReplaceAll(s, recordedURL, p.server.url)
	return names.ReplaceAllStringFunc(s, func(n string) string {
		if len(n) == 80 {
			return p.known(n[:16]) + p.known(n[16:])
		}
		return p.known(n)
	})
}

func (p *replay) known(recorded string) string {
	if o, ok := p.now[recorded]; ok {
		return o
	}
	return recorded
}

// learn goes through both texts and matches the names that stand at the same
// places.
func (p *replay) learn(recorded, ours string) error {
	a, b := names.FindAllString(recorded, -1), names.FindAllString(ours, -1)
	if len(a) != len(b) {
		return nil // to be seen when the texts are compared
	}
	for i := range a {
		cut := 0
		if len(a[i]) == 80 && len(b[i]) == 80 {
			cut = 16
		}
		if !p.match(a[i][:cut], b[i][:cut]) || !p.match(a[i][cut:], b[i][cut:]) {
			return fmt.Errorf("%s stands where %s stood, which elsewhere is %q", b[i], a[i], p.now[a[i][cut:]])
		}
	}
	return nil
}

// noise is what two runs against the same log may differ in.
var noise = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`([,:{]) +"`), `$1"`}, // protobuf's JSON has white space at random
	{regexp.MustCompile(`\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ`), "TIME"},
	{regexp.MustCompile(`"[iI]ntegratedTime":"?\d+"?`), "TIME"},
	{regexp.MustCompile(`\[[0-9 ]{60,}\]`), "HASH"},                             // a hash in decimal, in a failed proof
	{regexp.MustCompile(`[A-Za-z0-9+/]{40,}={0,2}`), "B64"},                     // keys, signatures, bodies
	{regexp.MustCompile(`options = \[[a-z0-9 ]*\] \(default \w+\)`), "OPTIONS"}, // in random order
}

// plain removes noise. Names stay: what is in both texts is no noise.
func plain(s string) string {
	var kept []string
	s = names.ReplaceAllStringFunc(s, func(n string) string {
		kept = append(kept, n)
		return "\x00"
	})
	for _, n := range noise {
		s = n.pattern.ReplaceAllString(s, n.with)
	}
	for _, n := range kept {
		s = strings.Replace(s, "\x00", n, 1)
	}
	if first, _, ok := strings.Cut(s, "\nUsage:"); ok {
		s = first // the rest is of another release
	}
	return s
}

// repeat runs rekor-cli as it was run, and compares.
func (p *replay) repeat(t *testing.T, r recordedRun) {
	t.Helper()
	if r.Name == "state-file" {
		p.checkState(t, r)
		return
	}
	p.prepare(t, r.Name)
	cmd := exec.CommandContext(t.Context(), p.program, p.arguments(r)...)
	cmd.Args[0] = "rekor-cli" // whose JSON cairn prints under that name
	cmd.Dir = p.dir
	cmd.Env = append(plainEnvironment(), "HOME="+p.home)
	for k, v := range r.Env {
		cmd.Env = append(cmd.Env, k+"="+p.environment(t, r.Name, k, v))
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	code := cmd.ProcessState.ExitCode()
	if p.ours {
		code = min(code, 1)
	}
	if code != r.ExitCode {
		t.Errorf("%s: exit code %d, recorded %d\n%s%s", r.Name, code, r.ExitCode, &stdout, &stderr)
		return
	}
	if p.exitCodeOnly[r.Name] != "" {
		return
	}
	if isSearch := strings.HasPrefix(r.Name, "search-"); !isSearch {
		if err := p.learn(r.Stdout, stdout.String()); err != nil {
			t.Errorf("%s: %v", r.Name, err)
		}
	} else { // found in any order, and known all
		r.Stdout, stdout = sortLines(p.here(r.Stdout)), *bytes.NewBufferString(sortLines(stdout.String()))
	}
	if d := cmp.Diff(plain(p.here(r.Stdout)), plain(stdout.String())); d != "" {
		t.Errorf("%s: stdout (-recorded +now):\n%s", r.Name, d)
	}
	if p.ours {
		return
	}
	if d := cmp.Diff(plain(p.here(r.Stderr)), plain(stderr.String())); d != "" {
		t.Errorf("%s: stderr (-recorded +now):\n%s", r.Name, d)
	}
	var want []string
	for _, k := range r.StateKeys {
		want = append(want, p.here(k))
	}
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(p.state(t))); !slices.Equal(got, want) {
		t.Errorf("%s: the state file has %q, want %q", r.Name, got, want)
	}
}

func sortLines(s string) string {
	lines := strings.SplitAfter(s, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// arguments are those of the recording with the names of here. The release of
// rekor-cli that is run here has other defaults and cannot hash for a
// hashedrekord.
func (p *replay) arguments(r recordedRun) []string {
	var args []string
	for _, a := range r.Args {
		a = strings.ReplaceAll(a, "$TESTS", p.samples)
		if lower := strings.ToLower(a); lower != a && names.MatchString(lower) {
			a = strings.ToUpper(p.here(lower))
		}
		args = append(args, p.here(a))
	}
	artifact := slices.Contains(args, "--artifact") || slices.Contains(args, "--artifact-hash")
	makes := slices.Contains(args, "upload") || slices.Contains(args, "verify")
	if p.ours {
		return args
	}
	if makes && artifact && !slices.Contains(args, "--type") {
		args = append(args, "--type", "hashedrekord")
		if i := slices.Index(args, "--artifact"); i > 0 {
			if data, err := os.ReadFile(filepath.Join(p.dir, args[i+1])); err == nil {
				args = append(args, "--artifact-hash", fmt.Sprintf("%x", digest(data, crypto.SHA256)))
			}
		}
	}
	if (makes && artifact || slices.Contains(args, "--public-key")) && !slices.Contains(args, "--pki-format") {
		args = append(args, "--pki-format", "x509")
	}
	return args
}

func (p *replay) environment(t *testing.T, run, name, value string) string {
	if name != "REKOR_REKOR_SERVER_PUBLIC_KEY" {
		return p.here(value)
	}
	if run == "pinned-key" {
		return p.logKey
	}
	other, err := os.ReadFile(filepath.Join(p.dir, "k.pub"))
	if err != nil {
		t.Fatal(err)
	}
	return string(other)
}

func (p *replay) statePath() string { return filepath.Join(p.home, ".rekor", "state.json") }

func (p *replay) state(t *testing.T) map[string]string {
	data, err := os.ReadFile(p.statePath())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]string
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// prepare makes the home directory what it was before a recorded run.
func (p *replay) prepare(t *testing.T, run string) {
	t.Helper()
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// forge rewrites what the client remembers of the tree.
	forge := func(size, root string) {
		m := p.state(t)
		for k, text := range m {
			lines := strings.Split(text, "\n")
			lines[1] = size
			if root != "" {
				lines[2] = root
			}
			m[k] = strings.Join(lines, "\n")
		}
		data, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		write(p.statePath(), string(data))
	}
	config := filepath.Join(p.home, ".rekor.yaml")
	if err := os.Remove(config); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	wrong := base64.StdEncoding.EncodeToString(digest([]byte("wrong"), crypto.SHA256))
	switch run {
	case "config-file":
		write(config, "rekor_server: "+p.server.url+"\nformat: json\n")
	case "state-larger":
		forge("70", "")
	case "state-other-root":
		forge("7", wrong)
	case "state-smaller-other-root":
		forge("3", wrong)
	case "state-garbage":
		write(p.statePath(), "garbage")
	}
}

// checkState compares the state file with the recorded one.
func (p *replay) checkState(t *testing.T, r recordedRun) {
	want := map[string]string{}
	for k, text := range r.Content {
		want[p.here(k)] = plain(p.here(text))
	}
	got := p.state(t)
	for k, text := range got {
		got[k] = plain(text)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-recorded +now):\n%s", r.Name, d)
	}
}
