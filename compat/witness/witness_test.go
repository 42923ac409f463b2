package witness

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// binary is the program, of this tree; the other one is beside it.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "cairn-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "cairn")
		build := exec.Command("go", "build", "-o", binary, "./cmd/cairn")
		build.Dir = "../.."
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "build cairn:", err)
			return 1
		}
		build = exec.Command("go", "build", "-mod=mod", "-o", dir, "filippo.io/torchwood/cmd/litewitness")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "build litewitness:", err)
			return 1
		}
		return m.Run()
	}())
}

// start runs a verb of Cairn until the test ends, and returns what it says of
// itself up to the line that begins with last.
func start(t *testing.T, last string, args ...string) map[string]string {
	t.Helper()
	cmd := exec.Command(binary, args...)
	log := new(bytes.Buffer)
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt) //nolint:errcheck // Wait says it
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Errorf("cairn %s: %v\n%s", args[0], err, log)
		}
	})
	said := make(map[string]string)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		said[name] = strings.TrimSpace(value)
		if name == last {
			go io.Copy(io.Discard, out) //nolint:errcheck // ends with the process
			return said
		}
	}
	t.Fatalf("cairn %s ended:\n%s", args[0], log)
	return nil
}

func initLog(t *testing.T, data, origin string) (vkey string) {
	t.Helper()
	out, err := exec.Command(binary, "init", "--data", data, "--origin", origin).Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if v, ok := strings.CutPrefix(line, "vkey "); ok {
			return strings.TrimSpace(v)
		}
	}
	t.Fatalf("no vkey in\n%s", out)
	return ""
}

// upload puts a new entry into a log.
func upload(t *testing.T, url string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(rand.Text()))
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(map[string]any{
		"kind": "hashedrekord", "apiVersion": "0.0.1",
		"spec": map[string]any{
			"data":      map[string]any{"hash": map[string]any{"algorithm": "sha256", "value": fmt.Sprintf("%x", digest)}},
			"signature": map[string]any{"content": sig, "publicKey": map[string]any{"content": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(url+"/api/v1/log/entries", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("upload: %s: %s", resp.Status, text)
	}
}

// litewitness runs torchwood's witness for one log, and returns its line for
// a policy. Its key is in an SSH agent, which is in the test.
func litewitness(t *testing.T, origin, logKey string) string {
	t.Helper()
	dir := t.TempDir()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := agent.NewKeyring()
	if err := keys.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	short, err := os.MkdirTemp("", "w") // the path of a socket is at most 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(short) })
	socket := filepath.Join(short, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go agent.ServeAgent(keys, c) //nolint:errcheck // ends with the connection
		}
	}()
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}

	// What witnessctl would write.
	path := filepath.Join(dir, "litewitness.db")
	db, err := sqlite.OpenConn(path)
	if err != nil {
		t.Fatal(err)
	}
	empty := sha256.Sum256(nil)
	err = sqlitex.ExecuteScript(db, fmt.Sprintf(`
		CREATE TABLE log (origin TEXT PRIMARY KEY, tree_size INTEGER NOT NULL, tree_hash TEXT NOT NULL);
		CREATE TABLE key (origin TEXT NOT NULL, key TEXT NOT NULL, FOREIGN KEY(origin) REFERENCES log(origin));
		INSERT INTO log VALUES ('%s', 0, '%s');
		INSERT INTO key VALUES ('%s', '%s');`, origin, base64.StdEncoding.EncodeToString(empty[:]), origin, logKey), nil)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}

	const name = "lite.example/witness"
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := port.Addr().String()
	port.Close()
	cmd := exec.Command(filepath.Join(filepath.Dir(binary), "litewitness"), "-name", name, "-db", path, "-ssh-agent", socket, "-listen", address, "-key", ssh.FingerprintSHA256(public))
	log := new(bytes.Buffer)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt) //nolint:errcheck // Wait says it
		cmd.Wait()                       //nolint:errcheck // it was told to
		if t.Failed() {
			t.Logf("litewitness:\n%s", log)
		}
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("litewitness does not come up")
		}
	}
	s, err := torchwood.NewCosignatureSigner(name, key)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("witness lite %s http://%s", s.Verifier(), address)
}

// TestLitewitness has torchwood's witness cosign a log that grows. What is
// published, torchwood verifies by the very policy that the log has.
func TestLitewitness(t *testing.T) {
	t.Parallel()
	const origin = "log.example"
	data := filepath.Join(t.TempDir(), "data")
	logKey := initLog(t, data, origin)
	text := fmt.Sprintf("log %s\n%s\nquorum lite\n", logKey, litewitness(t, origin, logKey))
	policy, err := torchwood.ParsePolicy([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "policy")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log := start(t, "URL", "serve", "--data", data, "--origin", origin, "--listen", "127.0.0.1:0", "--metrics-listen", "none", "--witness-policy", file)
	for size := int64(1); size <= 300; size++ {
		upload(t, log["URL"])
		if size != 1 && size != 2 && size != 257 && size != 300 {
			continue
		}
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
			resp, err := http.Get(log["URL"] + "/checkpoint")
			if err != nil {
				t.Fatal(err)
			}
			msg, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			c, n, err := torchwood.VerifyCheckpoint(msg, policy)
			if err == nil && c.N == size {
				at, err := torchwood.CosignatureTimestamp(n.Sigs[len(n.Sigs)-1])
				if d := time.Since(time.Unix(at, 0)); err != nil || d < -time.Minute || d > time.Minute {
					t.Errorf("cosigned %v ago: %v", d, err)
				}
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("no cosigned checkpoint of size %d: %v\n%s", size, err, msg)
			}
		}
	}
}

// TestCairnWitness has torchwood verify what a Cairn cosigns.
func TestCairnWitness(t *testing.T) {
	t.Parallel()
	skey, vkey, err := note.GenerateKey(rand.Reader, "log.example")
	if err != nil {
		t.Fatal(err)
	}
	log, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	said := start(t, "policy", "witness", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--name", "cairn.example/witness", "--log", vkey)
	words := strings.Fields(said["policy"])
	if len(words) != 4 {
		t.Fatalf("policy %q", said["policy"])
	}
	policy, err := torchwood.ParsePolicy([]byte("log " + vkey + "\n" + said["policy"] + "\nquorum " + words[1] + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	leaf := sha256.Sum256([]byte("\x00leaf"))
	c := torchwood.Checkpoint{Origin: "log.example", Tree: tlog.Tree{N: 1, Hash: tlog.Hash(leaf)}}
	msg, err := note.Sign(&note.Note{Text: c.String()}, log)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(words[3]+"/add-checkpoint", "", strings.NewReader("old 0\n\n"+string(msg)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", resp.Status, lines)
	}
	if got, _, err := torchwood.VerifyCheckpoint(append(msg, lines...), policy); err != nil || got.Tree != c.Tree {
		t.Errorf("cosigned %q: %v", lines, err)
	}
	if resp, err = http.Get(fmt.Sprintf("%s/%x/checkpoint", words[3], sha256.Sum256([]byte("log.example")))); err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if msg, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	if got, _, err := torchwood.VerifyCheckpoint(msg, policy); err != nil || got.Tree != c.Tree {
		t.Errorf("latest %q: %v", msg, err)
	}
}
