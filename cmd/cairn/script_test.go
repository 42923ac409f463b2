package main

import (
	"crypto"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cairnlog/cairn/api"
	"github.com/cairnlog/cairn/api/apitest"
	"github.com/cairnlog/cairn/sign"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"cairn": main, "rekor-cli": main})
}

// TestScripts runs the stories in testdata/script, each with a log of its own
// that is named in the environment and whose key is in log.pub.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			s := &stage{t: t, key: apitest.NewKey(t)}
			s.play("honest")
			server := httptest.NewServer(s)
			e.Defer(server.Close)
			e.Values[stageKey{}] = s
			e.Setenv("CAIRN_SERVER", server.URL)
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("XDG_CONFIG_HOME", filepath.Join(e.WorkDir, "config"))
			if err := serveWeb(e); err != nil {
				return err
			}
			text, err := sign.PublicPEM(s.key.Public())
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(e.WorkDir, "log.pub"), text, 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code":   code,
			"sign":   signFile,
			"log":    playLog,
			"expand": expand,
			"sample": sample,
		},
	})
}

type stageKey struct{}

// A stage is the address of a story's log, at which others may answer as well.
type stage struct {
	t    *testing.T
	key  crypto.Signer
	mu   sync.Mutex
	show http.Handler
	real http.Handler // the log that was first
}

func (s *stage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	show := s.show
	s.mu.Unlock()
	show.ServeHTTP(w, r)
}

// play has somebody answer from now on; false if there is nobody of that name.
func (s *stage) play(who string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh := func(key crypto.Signer) http.Handler {
		h, err := api.New(api.Options{
			Log: apitest.NewLog(s.t, key, nil), PublicKey: key.Public(),
			Author: apitest.NewAuthor(s.t), URL: "https://" + apitest.Origin,
		})
		if err != nil {
			s.t.Error(err)
		}
		return h
	}
	reply := func(status int, kind, text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			io.WriteString(w, text)
		})
	}
	switch who {
	case "honest": // the first log
		if s.real == nil {
			s.real = fresh(s.key)
		}
		s.show = s.real
	case "empty": // another log by the same key and name: a fork
		s.show = fresh(s.key)
	case "impostor": // another log by another key
		s.show = fresh(apitest.NewKey(s.t))
	case "proxy": // in front of a log that is down
		s.show = reply(http.StatusBadGateway, "text/html", "<html><script>evil()</script></html>")
	case "shop": // no log at all
		s.show = reply(http.StatusOK, "text/html", "<html>welcome</html>")
	case "refuser": // says no, with colours
		s.show = reply(http.StatusForbidden, "application/json", `{"code":403,"message":"no \u001b[31m\u202eentry"}`)
	case "mover": // sends you elsewhere
		s.show = http.RedirectHandler("https://evil.test/", http.StatusPermanentRedirect)
	default:
		return false
	}
	return true
}

// playLog is the command "log who".
func playLog(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 || !ts.Value(stageKey{}).(*stage).play(args[0]) {
		ts.Fatalf("usage: log honest|empty|impostor|proxy|shop|refuser|mover")
	}
}

// expand is the command "expand variable file": a variable gets what is in a file.
func expand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: expand variable file")
	}
	ts.Setenv(args[0], strings.TrimSuffix(ts.ReadFile(args[1]), "\n"))
}

// code runs a program and wants it to exit with that code.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code number program [argument ...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// signFile makes a key and its signature beside a file, by openssl:
// sign key file makes key.pem, key.pub if they are not there, and file.sig.
func signFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: sign key file")
	}
	private, public := args[0]+".pem", args[0]+".pub"
	if _, err := os.Stat(ts.MkAbs(private)); err != nil {
		ts.Check(ts.Exec("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", private))
		ts.Check(ts.Exec("openssl", "ec", "-in", private, "-pubout", "-out", public))
	}
	ts.Check(ts.Exec("openssl", strings.Fields("dgst -sha256 -sign "+private+" -out "+args[1]+".sig "+args[1])...))
}
