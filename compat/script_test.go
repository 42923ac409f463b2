package compat

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs the stories in testdata/script, each on each backend with a
// log of its own. They find the server's URL in $SERVER, its key in log.pub,
// and the programs on PATH.
func TestScripts(t *testing.T) {
	t.Parallel()
	for _, b := range backends() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			testscript.Run(t, testscript.Params{
				Dir:                 filepath.Join("testdata", "script"),
				RequireExplicitExec: true,
				RequireUniqueNames:  true,
				Setup:               func(e *testscript.Env) error { return setup(e, b) },
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"key":      cmdKey,
					"ca":       cmdCA,
					"cert":     cmdCert,
					"sign":     cmdSign,
					"envelope": cmdEnvelope,
					"server":   cmdServer,
					"grow":     cmdGrow,
					"let":      cmdLet,
					"readfile": cmdReadFile,
					"samejson": cmdSameJSON,
					"base64":   cmdBase64,
					"registry": cmdRegistry,
					"samples":  cmdSamples,
					"tuf":      cmdTUF,
				},
			})
		})
	}
}

type serverKey struct{}
type signersKey struct{}
type startKey struct{} // the directory of this package

func setup(e *testscript.Env, b backend) error {
	s := newServer(filepath.Join(e.WorkDir, "log"), b.storage(e.T().(testing.TB)))
	if err := s.start(); err != nil {
		return err
	}
	e.Defer(func() {
		if err := s.stop(); err != nil {
			e.T().Fatal(err)
		}
	})
	e.Values[serverKey{}] = s
	e.Values[signersKey{}] = map[string]*signer{}
	wd, err := os.Getwd()
	if err != nil {
		return err
	}
	e.Values[startKey{}] = wd

	key, err := s.publicKey()
	if err != nil {
		return err
	}
	if err := os.WriteFile(e.Cd+"/log.pub", key, 0o644); err != nil {
		return err
	}
	home := filepath.Join(e.WorkDir, "home")
	if err := os.Mkdir(home, 0o755); err != nil {
		return err
	}
	u, err := url.Parse(s.url)
	if err != nil {
		return err
	}
	e.Setenv("HOME", home)
	e.Setenv("SERVER", s.url)
	e.Setenv("ADDRESS", u.Host)
	e.Setenv("ORIGIN", origin)
	e.Setenv("LOGKEY", string(key))
	e.Setenv("COSIGN_PASSWORD", "")
	return nil
}

func serverOf(ts *testscript.TestScript) *server { return ts.Value(serverKey{}).(*server) }

func signerOf(ts *testscript.TestScript, name string) *signer {
	s := ts.Value(signersKey{}).(map[string]*signer)[name]
	if s == nil {
		ts.Fatalf("there is no key %s", name)
	}
	return s
}

func usage(ts *testscript.TestScript, ok bool, text string) {
	if !ok {
		ts.Fatalf("usage: %s", text)
	}
}

func write(ts *testscript.TestScript, name string, data []byte, err error) {
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(name), data, 0o600))
}

// key name [type] makes name.key and name.pub.
func cmdKey(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && (len(args) == 1 || len(args) == 2), "key name [type]")
	kind := "p256"
	if len(args) == 2 {
		kind = args[1]
	}
	s, err := newSigner(kind)
	ts.Check(err)
	ts.Value(signersKey{}).(map[string]*signer)[args[0]] = s
	data, err := s.privatePEM()
	write(ts, args[0]+".key", data, err)
	data, err = s.publicPEM()
	write(ts, args[0]+".pub", data, err)
}

// ca name makes name.key, name.pub and the certificate of an authority, name.pem.
func cmdCA(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 1, "ca name")
	cmdKey(ts, false, args)
	s := signerOf(ts, args[0])
	ts.Check(s.certifyCA())
	data, err := s.verifierPEM(1)
	write(ts, args[0]+".pem", data, err)
}

// cert [-ca name] name san... makes name.pem for a key.
func cmdCert(ts *testscript.TestScript, neg bool, args []string) {
	var ca *signer
	if len(args) > 2 && args[0] == "-ca" {
		ca, args = signerOf(ts, args[1]), args[2:]
	}
	usage(ts, !neg && len(args) > 1, "cert [-ca name] name san...")
	s := signerOf(ts, args[0])
	ts.Check(s.certify(ca, args[1:]...))
	data, err := s.verifierPEM(1)
	write(ts, args[0]+".pem", data, err)
}

// sign name file signature [var] signs a file with SHA-256 and puts the hash
// in a variable.
func cmdSign(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && (len(args) == 3 || len(args) == 4), "sign name file signature [var]")
	data := []byte(ts.ReadFile(args[1]))
	s := signerOf(ts, args[0])
	sig, err := s.signDetached(data)
	write(ts, args[2], sig, err)
	if len(args) == 4 {
		ts.Setenv(args[3], fmt.Sprintf("%x", digest(data, s.hash)))
	}
}

// envelope payload out name... wraps an in-toto statement in a DSSE envelope
// signed by the keys.
func cmdEnvelope(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) > 2, "envelope payload out name...")
	var signers []*signer
	for _, name := range args[2:] {
		signers = append(signers, signerOf(ts, name))
	}
	data, err := envelope(inToto, []byte(ts.ReadFile(args[0])), signers...)
	write(ts, args[1], data, err)
}

// server start|stop|restart
func cmdServer(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 1, "server start|stop|restart")
	s := serverOf(ts)
	switch args[0] {
	case "start":
		ts.Check(s.start())
	case "stop":
		ts.Check(s.stop())
	case "restart":
		ts.Check(s.stop())
		ts.Check(s.start())
	default:
		ts.Fatalf("server %s?", args[0])
	}
}

// grow n uploads n entries that nobody asks for.
func cmdGrow(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 1, "grow n")
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	ts.Check(grow(serverOf(ts).url, n))
}

// let var pattern [file] sets a variable to what the parentheses in the
// pattern match in stdout or the file.
func cmdLet(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && (len(args) == 2 || len(args) == 3), "let var pattern [file]")
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	file := "stdout"
	if len(args) == 3 {
		file = args[2]
	}
	text := ts.ReadFile(file)
	m := re.FindStringSubmatch(text)
	if len(m) != 2 {
		ts.Fatalf("no match of %s in:\n%s", args[1], text)
	}
	ts.Setenv(args[0], m[1])
}

// readfile var file sets a variable to what is in a file.
func cmdReadFile(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 2, "readfile var file")
	ts.Setenv(args[0], ts.ReadFile(args[1]))
}

// base64 in out
func cmdBase64(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 2, "base64 in out")
	write(ts, args[1], []byte(base64.StdEncoding.EncodeToString([]byte(ts.ReadFile(args[0])))), nil)
}

// samples var sets a variable to the directory of Rekor's sources, which have
// an artifact of every kind.
func cmdSamples(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 1, "samples var")
	dir, err := goCommand(context.Background(), "list", "-m", "-f", "{{.Dir}}", "github.com/sigstore/rekor")
	ts.Check(err)
	ts.Setenv(args[0], strings.TrimSpace(dir))
}

// tuf metadata root writes documents of The Update Framework that have not
// expired, out of the vectors of Cairn.
func cmdTUF(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 2, "tuf metadata root")
	data, err := os.ReadFile(filepath.Join(ts.Value(startKey{}).(string), "..", "entry", "testdata", "tuf-0.0.1.json"))
	ts.Check(err)
	var vectors []struct {
		Name     string
		Proposed json.RawMessage
	}
	ts.Check(json.Unmarshal(data, &vectors))
	for _, v := range vectors {
		if v.Name != "valid-generated" {
			continue
		}
		var p struct {
			Spec struct {
				Metadata, Root struct{ Content json.RawMessage }
			}
		}
		ts.Check(json.Unmarshal(v.Proposed, &p))
		write(ts, args[0], p.Spec.Metadata.Content, nil)
		write(ts, args[1], p.Spec.Root.Content, nil)
		return
	}
	ts.Fatalf("there is no such vector")
}

// samejson a b compares two JSON files as values.
func cmdSameJSON(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 2, "samejson a b")
	var v [2]any
	for i := range v {
		if err := json.NewDecoder(strings.NewReader(ts.ReadFile(args[i]))).Decode(&v[i]); err != nil {
			ts.Fatalf("%s: %v", args[i], err)
		}
	}
	if d := cmp.Diff(v[0], v[1]); d != "" {
		ts.Fatalf("%s and %s differ (-%[1]s +%[2]s):\n%s", args[0], args[1], d)
	}
}
