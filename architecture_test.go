package cairn_test

import (
	"bufio"
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

const module = "github.com/cairnlog/cairn"

// allowed is the architecture: which packages of ours a package may import.
// A "*" at the end stands for all that begin so.
var allowed = map[string][]string{
	".":                   {},
	"merkle":              {},
	"pki":                 {"entry/jcs"},
	"entry/jcs":           {},
	"migrations":          {},
	"sign":                {},
	"checkpoint":          {"merkle"},
	"log":                 {"merkle", "checkpoint"},
	"log/trillian":        {"log", "merkle", "checkpoint"},
	"entry":               {"pki", "entry/jcs"},
	"storage/keyindex":    {"log"},
	"storage/postgres":    {"log", "merkle", "migrations", "storage/keyindex"},
	"storage/sqlite":      {"log", "merkle", "migrations", "storage/keyindex"},
	"storage/memory":      {"log", "merkle"},
	"storage/storagetest": {"log", "merkle"},
	"storage":             {"log", "storage/*"},
	"witness":             {"checkpoint", "merkle"},
	"api/v1":              {"checkpoint", "merkle"},
	"api/v2":              {"checkpoint", "merkle", "entry", "entry/jcs"}, // a request of v2 is a proposal in the form of a message
	"api/apitest":         {".", "api", "api/*", "entry", "log", "checkpoint", "merkle", "storage/memory"},
	"api":                 {"api/*", "entry", "pki", "log", "checkpoint", "merkle", "witness", "bundle", "trust"},
	"web":                 {"api/*", "entry", "log", "merkle"},
	"trust":               {"checkpoint"},
	"bundle":              {"api/v1", "checkpoint", "merkle", "trust"},
	"client":              {"api/*", "entry", "checkpoint", "merkle", "bundle"},
	"monitor":             {"entry", "checkpoint", "merkle", "client"},
	"cmd/cairn":           {"*"},
}

// allowedInTests is what test files may import on top: fakes, suites, and
// what stands on the other side of the wire.
var allowedInTests = map[string][]string{
	".":                {},
	"entry":            {"api/v2"}, // reads the proposals of recorded requests
	"log":              {"storage/memory", "storage/storagetest"},
	"storage":          {"merkle", "storage/storagetest"},
	"storage/memory":   {"storage/storagetest"},
	"storage/sqlite":   {"storage/storagetest"},
	"storage/postgres": {"storage/storagetest"},
	"witness":          {"log", "sign", "storage/memory", "storage/storagetest"},
	"api":              {"storage/memory", "."},
	"api/apitest":      {"."},
	"client":           {"api", "log", "sign", "storage/memory", "api/apitest", "."},
	"monitor":          {"api", "log", "storage/memory"},
}

// forTests are packages that no program may contain.
var forTests = []string{"api/apitest", "storage/storagetest"}

// confined says where a library may be used, and nowhere else: the facts that
// only storage sees SQL, and only pki and entry see other people's formats.
var confined = map[string][]string{
	"database/sql":                                      {"storage/sqlite", "storage/postgres"},
	"github.com/jackc/pgx/v5":                           {"storage/postgres", "storage/storagetest"},
	"modernc.org/sqlite":                                {"storage/sqlite"},
	"github.com/pressly/goose":                          {"storage/sqlite", "storage/postgres"},
	"github.com/go-chi/chi":                             {"api"},
	"github.com/alecthomas/kong":                        {"cmd/cairn"},
	"github.com/secure-systems-lab/go-securesystemslib": {"pki", "entry"},
	"github.com/cyberphone/json-canonicalization":       {"entry/jcs"},
	"github.com/fxamacker/cbor":                         {"entry"},
	"github.com/theupdateframework/go-tuf":              {"pki"},
	"github.com/veraison/go-cose":                       {"entry"},
}

// unconfined are files that may use a confined library for a reason.
var unconfined = map[string]string{
	"cmd/cairn/benchcommit.go": "measures what the database can do without a log",
	"cmd/cairn/benchproc.go":   "asks Postgres for its processes, to add up their time",
	"cmd/cairn/benchsuite.go":  "makes a schema for each measurement",
	"cmd/cairn/benchtable.go":  "asks Postgres for the size of its tables",
}

// maxLines is the largest file that one reads in a sitting.
const maxLines = 600

// A file is a Go file of this module.
type file struct {
	path string
	dir  string // of the package, "." for the root
	test bool
	code []byte
	ast  *ast.File
}

func (f file) imports() []string {
	var paths []string
	for _, s := range f.ast.Imports {
		p, err := strconv.Unquote(s.Path.Value)
		if err != nil {
			panic(err) // the parser accepted it
		}
		paths = append(paths, p)
	}
	return paths
}

// ours returns the directory of a package of ours.
func ours(importPath string) (dir string, ok bool) {
	if importPath == module {
		return ".", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

var fset = token.NewFileSet()

// files returns the Go files of this module, without those of modules in it.
func files(t *testing.T) []file {
	t.Helper()
	var found []file
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			name := d.Name()
			_, err := os.Stat(filepath.Join(p, "go.mod"))
			if p != "." && (err == nil || name == "testdata" || name[0] == '.' || name[0] == '_') {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		code, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		tree, err := parser.ParseFile(fset, p, code, parser.ParseComments)
		if err != nil {
			return err
		}
		p = filepath.ToSlash(p)
		found = append(found, file{path: p, dir: path.Dir(p), test: strings.HasSuffix(p, "_test.go"), code: code, ast: tree})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 20 {
		t.Fatalf("found %d files only", len(found))
	}
	return found
}

func matches(patterns []string, dir string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		prefix, all := strings.CutSuffix(p, "*")
		return p == dir || all && strings.HasPrefix(dir, prefix)
	})
}

func TestImports(t *testing.T) {
	t.Parallel()
	for _, f := range files(t) {
		may, known := allowed[f.dir]
		if !known {
			t.Errorf("%s: package %s is not in the table of allowed imports", f.path, f.dir)
			continue
		}
		for _, p := range f.imports() {
			if dir, ok := ours(p); ok {
				if !f.test && slices.Contains(forTests, dir) {
					t.Errorf("%s: package %s is for tests", f.path, dir)
				}
				// A test outside its package imports it.
				if matches(may, dir) || f.test && (dir == f.dir || matches(allowedInTests[f.dir], dir)) {
					continue
				}
				t.Errorf("%s: package %s may not import %s", f.path, f.dir, dir)
				continue
			}
			if f.test || slices.Contains(forTests, f.dir) || unconfined[f.path] != "" {
				continue
			}
			for library, dirs := range confined {
				if (p == library || strings.HasPrefix(p, library+"/")) && !slices.Contains(dirs, f.dir) {
					t.Errorf("%s: only %s may import %s", f.path, strings.Join(dirs, ", "), library)
				}
			}
		}
	}
}

func TestFileSizes(t *testing.T) {
	t.Parallel()
	for _, f := range files(t) {
		if n := bytes.Count(f.code, []byte("\n")); n > maxLines {
			t.Errorf("%s has %d lines, over %d", f.path, n, maxLines)
		}
	}
}

// TestHabits looks for what the house does without.
func TestHabits(t *testing.T) {
	t.Parallel()
	for _, f := range files(t) {
		for _, d := range f.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.Name == "init" {
					t.Errorf("%s: has an init function", f.path)
				}
				checkName(t, f, d.Name)
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if s, ok := s.(*ast.TypeSpec); ok {
						checkName(t, f, s.Name)
					}
				}
			}
		}
		for _, g := range f.ast.Comments {
			for _, c := range g.List {
				if strings.HasPrefix(c.Text, "//go:generate") {
					t.Errorf("%s: generates code", f.path)
				}
			}
		}
		if !f.test {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if s, ok := call.Fun.(*ast.SelectorExpr); ok && strings.HasPrefix(s.Sel.Name, "Skip") {
				if x, ok := s.X.(*ast.Ident); ok && (x.Name == "t" || x.Name == "b" || x.Name == "f") {
					t.Errorf("%s: skips a test", fset.Position(call.Pos()))
				}
			}
			return true
		})
	}
}

func checkName(t *testing.T, f file, name *ast.Ident) {
	bad := strings.HasPrefix(name.Name, "Get") && len(name.Name) > 3
	for _, s := range []string{"Impl", "Manager", "Helper", "Util", "Utils"} {
		bad = bad || strings.HasSuffix(name.Name, s)
	}
	if bad {
		t.Errorf("%s: %s is a name that says nothing", fset.Position(name.Pos()), name.Name)
	}
}

// TestDependenciesHaveReasons wants each module that is imported explained.
func TestDependenciesHaveReasons(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse("go.mod", data, nil)
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, f := range files(t) {
		for _, p := range f.imports() {
			longest := ""
			for _, r := range mod.Require {
				if m := r.Mod.Path; (p == m || strings.HasPrefix(p, m+"/")) && len(m) > len(longest) {
					longest = m
				}
			}
			if longest != "" {
				used[longest] = true
			}
		}
	}
	text, err := os.ReadFile("docs/design/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	explained := map[string]bool{}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		if cells := strings.Split(s.Text(), "|"); len(cells) > 2 {
			explained[strings.Trim(cells[1], " `")] = true
		}
	}
	for m := range used {
		if !explained[m] {
			t.Errorf("docs/design/dependencies.md has no line for %s", m)
		}
	}
	for m := range explained {
		if strings.Contains(m, ".") && !used[m] {
			t.Errorf("docs/design/dependencies.md explains %s, which nothing imports", m)
		}
	}
}
