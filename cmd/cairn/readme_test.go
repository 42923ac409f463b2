package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestReadme pastes the jobs of the README into a shell.
func TestReadme(t *testing.T) {
	t.Parallel()
	text := read(t, "../../README.md")
	var job string
	for i, part := range strings.Split(string(text), "```sh\n")[1:] {
		lines, _, ok := strings.Cut(part, "```")
		if !ok || i == 0 && strings.Count(lines, "\n") != 5 {
			t.Fatalf("the README's main job is not five lines:\n%s", lines)
		}
		job += lines
	}
	s := start(t, "--data", t.TempDir())
	home := t.TempDir()
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", job)
	cmd.Dir = home
	cmd.Env = append(os.Environ(), "CAIRN_SERVER="+s.url, "HOME="+home, "XDG_CONFIG_HOME="+home)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Created entry at index 0") || !strings.Contains(string(out), "is what was signed") {
		t.Errorf("the README's jobs: %v\n%s", err, out)
	}
}

// TestReadmeFlags holds the table of flags against the program.
func TestReadmeFlags(t *testing.T) {
	t.Parallel()
	readme := string(read(t, "../../README.md"))
	parser, err := kong.New(new(cli), kong.Vars{"maxBody": "1"})
	if err != nil {
		t.Fatal(err)
	}
	flags := map[string]string{}
	for _, verb := range parser.Model.Children {
		if verb.Name == "serve" {
			for _, f := range verb.Flags {
				flags[f.Name] = f.Envs[0]
			}
		}
	}
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `--([a-z-]+)` \\| `(CAIRN_[A-Z_]+)`").FindAllStringSubmatch(readme, -1) {
		documented[row[1]] = true
		if flags[row[1]] != row[2] {
			t.Errorf("the README has --%s and %s, which the program has not", row[1], row[2])
		}
	}
	for f := range flags {
		if !documented[f] {
			t.Errorf("the README does not have --%s", f)
		}
	}
}
