package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
	"sigs.k8s.io/yaml"
)

const maxConfig = 64 << 10

// rekorVerbs are the verbs whose flags rekor-cli has too.
var rekorVerbs = []string{"upload", "get", "search", "verify", "loginfo", "logproof"}

// A rekorConfig gives flags of the client that are not on the command line the
// values that rekor-cli would: of the variable REKOR_ and the flag's name, or
// of a file.
type rekorConfig struct {
	loaded bool
	path   string         // of the file, "" if there is none
	values map[string]any // by names of flags in lower case
}

// Validate implements kong.Resolver. Names that no flag has are ignored.
func (r *rekorConfig) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver.
func (r *rekorConfig) Resolve(ctx *kong.Context, _ *kong.Path, f *kong.Flag) (any, error) {
	verb := ctx.Selected()
	if verb == nil || !slices.Contains(rekorVerbs, verb.Name) || f.Name == "help" {
		return nil, nil
	}
	for _, name := range f.Envs {
		if _, ok := os.LookupEnv(name); ok {
			return nil, nil // kong has it already
		}
	}
	if v := os.Getenv("REKOR_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))); v != "" {
		return v, nil
	}
	if f.Name == "config" {
		return nil, nil
	}
	if !r.loaded {
		r.loaded = true
		if err := r.load(ctx); err != nil {
			return nil, err
		}
	}
	for _, name := range append([]string{f.Name}, f.Aliases...) {
		switch v := r.values[name].(type) {
		case nil:
		case []any:
			for i := range v {
				v[i] = plain(v[i])
			}
			return v, nil
		default:
			return plain(v), nil
		}
	}
	return nil, nil
}

// plain returns a value as one would write it on the command line.
func plain(v any) string {
	if n, ok := v.(float64); ok {
		return strconv.FormatFloat(n, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

// load reads the file that --config names, or the one in the home directory if
// there is one.
func (r *rekorConfig) load(ctx *kong.Context) error {
	path := os.Getenv("REKOR_CONFIG")
	for _, f := range ctx.Model.Flags {
		if s, ok := ctx.FlagValue(f).(string); ok && f.Name == "config" && s != "" {
			path = s
		}
	}
	named := path != ""
	if !named {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil
		}
		path = filepath.Join(home, ".rekor.yaml")
	}
	text, err := readFile(path, maxConfig)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return nil
	}
	if err != nil {
		return fmt.Errorf("config file: %w", err)
	}
	var values map[string]any
	if err := yaml.Unmarshal(text, &values); err != nil {
		return fmt.Errorf("config file %s: %w", path, err)
	}
	r.values = map[string]any{}
	for name, v := range values {
		r.values[strings.ToLower(name)] = v
	}
	r.path = path
	return nil
}
