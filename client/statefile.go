package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/rogpeppe/go-internal/lockedfile"
)

// A StateFile remembers logs in a JSON file, by their URLs. The file is
// replaced as a whole under a lock, so that any number of processes may share
// it, and only its owner may read it.
type StateFile struct{ path string }

// NewStateFile returns the state file at path, which need not exist yet.
func NewStateFile(path string) *StateFile { return &StateFile{path} }

// Log returns the part of the file that remembers the log at a URL, in the
// plain form that Client.URL returns.
func (f *StateFile) Log(url string) State { return fileState{f, url} }

const (
	stateVersion = 1
	maxState     = 16 << 20
)

type stateJSON struct {
	Version int                `json:"version"`
	Logs    map[string]logJSON `json:"logs"`
}

type logJSON struct {
	Key        string `json:"key"`
	Trusted    string `json:"trusted"`
	Checkpoint string `json:"checkpoint,omitempty"`
}

const (
	trustedPinned   = "pinned"
	trustedFirstUse = "first use"
)

type fileState struct {
	f   *StateFile
	url string
}

func (s fileState) Load(context.Context) (Known, error) {
	all, err := s.f.read()
	if err != nil {
		return Known{}, err
	}
	return s.known(all)
}

func (s fileState) known(all stateJSON) (Known, error) {
	l, ok := all.Logs[s.url]
	if !ok {
		return Known{}, nil
	}
	block, _ := pem.Decode([]byte(l.Key))
	if block == nil {
		return Known{}, fmt.Errorf("%s: key of %s is not PEM", s.f.path, s.url)
	}
	k := Known{Key: block.Bytes, Pinned: l.Trusted == trustedPinned}
	if l.Checkpoint != "" {
		k.Checkpoint = []byte(l.Checkpoint)
	}
	return k, nil
}

func (s fileState) Store(_ context.Context, old, new Known) (bool, error) {
	if err := os.MkdirAll(filepath.Dir(s.f.path), 0o700); err != nil {
		return false, err
	}
	unlock, err := lockedfile.MutexAt(s.f.path + ".lock").Lock()
	if err != nil {
		return false, fmt.Errorf("lock: %w", err)
	}
	defer unlock()
	all, err := s.f.read()
	if err != nil {
		return false, err
	}
	have, err := s.known(all)
	if err != nil {
		return false, err
	}
	if !have.equal(old) {
		return false, nil
	}
	l := logJSON{Key: publicPEM(new.Key), Trusted: trustedFirstUse, Checkpoint: string(new.Checkpoint)}
	if new.Pinned {
		l.Trusted = trustedPinned
	}
	if all.Logs == nil {
		all.Logs = map[string]logJSON{}
	}
	all.Logs[s.url] = l
	return true, s.f.write(all)
}

func publicPEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func (f *StateFile) read() (stateJSON, error) {
	all := stateJSON{Version: stateVersion}
	file, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return all, err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxState+1))
	if err != nil {
		return all, err
	}
	if len(b) > maxState {
		return all, fmt.Errorf("%s is over %d bytes", f.path, maxState)
	}
	if err := json.Unmarshal(b, &all); err != nil {
		return all, fmt.Errorf("%s is damaged, move it away to start anew: %w", f.path, err)
	}
	if all.Version != stateVersion {
		return all, fmt.Errorf("%s is of version %d, this program knows version %d", f.path, all.Version, stateVersion)
	}
	return all, nil
}

func (f *StateFile) write(all stateJSON) error {
	b, err := encode(all)
	if err != nil {
		return err
	}
	return replace(f.path, b)
}

// replace writes a file with mode 0600: at any moment there is the old one, if
// any, or the new one, whatever fails. When it returns the new one is durable.
func replace(path string, b []byte) error {
	dir := filepath.Dir(path)
	t, err := os.CreateTemp(dir, filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(t.Name())
	_, err = t.Write(b)
	if err == nil {
		err = t.Sync()
	}
	if cerr := t.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(t.Name(), path)
	}
	if err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && runtime.GOOS != "windows" {
		return err
	}
	return nil
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}

// Keep writes the evidence of an alarm to a file beside the state, and
// returns its path. The same evidence is kept once.
func (f *StateFile) Keep(a *AlarmError) (string, error) {
	type side struct {
		Key        string `json:"key"`
		Checkpoint string `json:"checkpoint"`
	}
	evidence := struct {
		Log     string   `json:"log"`
		Discord Discord  `json:"discord"`
		Detail  string   `json:"detail,omitempty"`
		Before  side     `json:"before"`
		Now     side     `json:"now"`
		Hashes  []string `json:"consistencyProof,omitempty"`
	}{
		Log:     a.URL,
		Discord: a.Discord,
		Before:  side{publicPEM(a.Before.Key), string(a.Before.Checkpoint)},
		Now:     side{publicPEM(a.KeyNow), string(a.Now)},
	}
	if a.Underlies != nil {
		evidence.Detail = a.Underlies.Error()
	}
	for _, h := range a.Hashes {
		evidence.Hashes = append(evidence.Hashes, h.String())
	}
	b, err := encode(evidence)
	if err != nil {
		return "", err
	}
	// The signatures may differ from one answer to the next; the texts make it one case.
	sum := sha256.New()
	for _, s := range []string{a.URL, string(a.Discord), signedText(a.Before.Checkpoint), signedText(a.Now)} {
		fmt.Fprintf(sum, "%d %s", len(s), s)
	}
	path := filepath.Join(filepath.Dir(f.path), fmt.Sprintf("alarm-%x.json", sum.Sum(nil)[:8]))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	return path, replace(path, b)
}

func signedText(note []byte) string {
	s := string(note)
	if i := strings.LastIndex(s, "\n\n"); i >= 0 {
		return s[:i+1]
	}
	return s
}
