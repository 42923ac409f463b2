package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// A bareCmd serves one answer to all requests until its input ends. It is a
// process of its own, as the server is that it is compared with.
type bareCmd struct {
	Size int64 `required:"" help:"Bytes of the answer, which comes first on standard input."`
}

// bareHandler is as little as a net/http handler can do.
func bareHandler(body []byte) http.Handler {
	length := []string{strconv.Itoa(len(body))}
	kind := []string{"application/json"}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["Content-Length"], h["Content-Type"] = length, kind
		w.Write(body)
	})
}

func (c *bareCmd) Run(g *Globals) error {
	if c.Size < 0 || c.Size > maxAnswerBody {
		return usage("--size must be from 0 to %d", maxAnswerBody)
	}
	body := make([]byte, c.Size)
	if _, err := io.ReadFull(g.Stdin, body); err != nil {
		return usage("read the answer from standard input: %w", err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(g.Context, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: bareHandler(body), ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	fmt.Fprintln(g.Stdout, l.Addr())
	go func() {
		io.Copy(io.Discard, g.Stdin) //nolint:errcheck // any end is the end
		server.Close()
	}()
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// self returns a command that is this program, whatever the file is called. It
// does not inherit what the environment says about a log.
func self(ctx context.Context, args ...string) (*exec.Cmd, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Args[0] = "cairn"
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "CAIRN_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	return cmd, nil
}

// A bareServer is a running bareCmd.
type bareServer struct {
	addr  string
	input io.Closer
	cmd   *exec.Cmd
}

// startBare starts one that answers what the log answers to a request.
func startBare(ctx context.Context, v *verifier, request []byte) (*bareServer, error) {
	a, err := v.conn.do(ctx, request, 30*time.Second)
	if err == nil && a.status != http.StatusOK {
		err = errNoAnswer
	}
	if err != nil {
		return nil, fmt.Errorf("start bare server: %w", err)
	}
	cmd, err := self(ctx, "bench", "bare", "--size", strconv.Itoa(len(a.body)))
	if err != nil {
		return nil, err
	}
	cmd.Stderr = os.Stderr
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start bare server: %w", err)
	}
	b := &bareServer{input: input, cmd: cmd}
	if _, err = input.Write(a.body); err == nil {
		b.addr, err = bufio.NewReader(output).ReadString('\n')
		b.addr = strings.TrimSpace(b.addr)
	}
	if err != nil {
		b.stop()
		return nil, fmt.Errorf("start bare server: %w", err)
	}
	return b, nil
}

func (b *bareServer) stop() {
	b.input.Close()
	b.cmd.Wait() //nolint:errcheck // it has nothing more to say
}

// measure puts half of a load on it and appends its answers a second.
func (b *bareServer) measure(ctx context.Context, l *traffic, rates *[]float64) error {
	half := *l
	half.addr, half.rate, half.sample, half.accept = b.addr, 0, 0, http.StatusOK
	half.duration = l.duration / 2
	t, err := half.run(ctx)
	if err != nil {
		return fmt.Errorf("measure bare server: %w", err)
	}
	*rates = append(*rates, float64(t.accepted)/t.elapsed.Seconds())
	return nil
}
