package compat

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// programs are what the tests run, by the name they have on PATH: a package of
// a module that go.mod pins with a tool line, and for cairn the one beside us.
var programs = map[string]string{
	"cairn":     "./cmd/cairn",
	"rekor-cli": "github.com/sigstore/rekor/cmd/rekor-cli",
	"cosign":    "github.com/sigstore/cosign/v3/cmd/cosign",
	"cosign2":   "github.com/sigstore/cosign/v2/cmd/cosign",
}

// TestMain builds the programs and puts them first on PATH.
func TestMain(m *testing.M) {
	code, err := testMain(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "compat:", err)
		code = 1
	}
	os.Exit(code)
}

func testMain(m *testing.M) (code int, err error) {
	bin, err := os.MkdirTemp("", "cairn-compat-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(bin)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := build(ctx, bin); err != nil {
		return 0, err
	}
	if err := os.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH")); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// build makes the programs and puts them, or links to them, into bin.
func build(ctx context.Context, bin string) error {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	for name, pkg := range programs {
		wg.Go(func() {
			if err := buildOne(ctx, bin, name, pkg); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("build %s: %w", name, err))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func buildOne(ctx context.Context, bin, name, pkg string) error {
	exe := ""
	if runtime.GOOS == "windows" {
		exe = ".exe"
	}
	target := filepath.Join(bin, name+exe)
	if strings.HasPrefix(pkg, ".") {
		_, err := goCommand(ctx, "build", "-C", "..", "-o", target, pkg)
		return err
	}
	// Unlike go build -o, this keeps the linked program in the build cache:
	// from the second run on there is nothing left to do.
	path, err := goCommand(ctx, "tool", "-n", pkg)
	if err != nil {
		return err
	}
	return os.Symlink(strings.TrimSpace(path), target)
}

func goCommand(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return string(out), nil
}
