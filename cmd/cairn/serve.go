package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/cairnlog/cairn"
	"github.com/cairnlog/cairn/api"
	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
	"github.com/cairnlog/cairn/sign"
	"github.com/cairnlog/cairn/trust"
)

// drainTime is how long a stopping server waits for the requests it has. A
// commit takes milliseconds; what is slower is a client that reads slowly.
const drainTime = 15 * time.Second

type serveCmd struct {
	logFlags
	Create        bool   `env:"CAIRN_CREATE" help:"Create the log if the database has none. Always so for sqlite."`
	Listen        string `default:"127.0.0.1:3000" env:"CAIRN_LISTEN" placeholder:"ADDR" help:"Address to serve on (${default})."`
	URL           string `env:"CAIRN_URL" placeholder:"URL" help:"Address under which clients know the log, for the documents below /.well-known. Default: the address it listens on."`
	MetricsListen string `default:"127.0.0.1:2112" env:"CAIRN_METRICS_LISTEN" placeholder:"ADDR" help:"Address to serve Prometheus metrics on, or none (${default})."`
	MaxBody       int64  `default:"${maxBody}" env:"CAIRN_MAX_BODY" placeholder:"BYTES" help:"Largest request body (${default})."`
	MaxAttachment int    `default:"102400" env:"CAIRN_MAX_ATTACHMENT" placeholder:"BYTES" help:"Largest attestation kept beside an entry; negative keeps none (${default})."`
	WitnessPolicy string `env:"CAIRN_WITNESS_POLICY" type:"path" placeholder:"FILE" help:"Have checkpoints cosigned by the witnesses of this C2SP policy before they are published."`
	LogLevel      string `default:"info" enum:"debug,info,warn,error" env:"CAIRN_LOG_LEVEL" placeholder:"LEVEL" help:"What to log: ${enum} (${default})."`
	LogFormat     string `default:"text" enum:"text,json" env:"CAIRN_LOG_FORMAT" placeholder:"FORMAT" help:"How to log: ${enum} (${default})."`
}

// Help is shown with the flags.
func (c *serveCmd) Help() string {
	return `The first start makes the data directory with a key and a database, and says
where they are; later ones open the same log. It never starts with another key
than the log was made with. With Postgres several servers may share one log:
give each a copy of the key. See cairn init.`
}

// Run serves until g.Context ends.
func (c *serveCmd) Run(g *Globals) error { return startError(c.serve(g.Context, g.Stdout, g.Stderr)) }

// startError gives an error of serve or init its exit code.
func startError(err error) error {
	var (
		refused *refusal
		other   *log.IdentityError
		root    *merkle.RootError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused), errors.As(err, &other):
		return &ExitError{exitRefused, err}
	case errors.As(err, &root):
		return &ExitError{exitUnverified, err}
	}
	return &ExitError{exitTrouble, err}
}

// memoryLimit is what Go's memory should stay below: the caches and a full
// pool take two thirds of it. Without a limit the collector lets garbage grow
// to as much again. Variable GOMEMLIMIT sets another.
const memoryLimit = 176 << 20

func (c *serveCmd) serve(ctx context.Context, out, errOut io.Writer) error {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	logger, err := newLogger(errOut, c.LogLevel, c.LogFormat)
	if err != nil {
		return err
	}
	defer logger.Sync() //nolint:errcheck // a terminal cannot be synced

	// 1. What the operator may have got wrong first: a port that is taken
	// should create no log.
	if c.URL != "" {
		if c.URL, err = trust.BaseURL(c.URL); err != nil {
			return refuse("--url: %v", err)
		}
	}
	if c.MaxBody < 1 || c.MaxBody > 1<<30 {
		return refuse("--max-body %d is not from 1 to %d bytes", c.MaxBody, 1<<30)
	}
	policy, err := readPolicy(c.WitnessPolicy)
	if err != nil {
		return err
	}
	listener, err := listen(ctx, c.Listen, "--listen")
	if err != nil {
		return err
	}
	defer listener.Close()
	var metricsListener net.Listener
	if c.MetricsListen != "none" {
		if metricsListener, err = listen(ctx, c.MetricsListen, "--metrics-listen"); err != nil {
			return err
		}
		defer metricsListener.Close()
	}

	// 2. The log.
	how := openOnly
	if c.Create || !strings.HasPrefix(c.Storage, "postgres") {
		how = openOrCreate
	}
	h, err := c.open(ctx, how)
	if err != nil {
		return err
	}
	defer h.store.Close()
	for _, path := range append([]string{h.keyPath}, h.checkpointPaths...) {
		if sign.Exposed(path) {
			logger.Warn("every user of this machine can read the log's private key; chmod 600 it", zap.String("key", path))
		}
	}
	if err := h.wasStopped(); err != nil {
		return err
	}
	metrics := api.NewMetrics(build())
	seen, err := h.seen()
	if err != nil {
		return err
	}
	l, err := log.Open(ctx, h.store, log.Options{
		Identity:     h.identity,
		Signer:       h.signer,
		Checkpointer: h.author,
		Logger:       logger,
		Observe:      metrics.Commit,
		Seen:         seen,
		Witnessed:    policy != nil,
	})
	if back := (*log.RollbackError)(nil); errors.As(err, &back) {
		return h.rolledBack(back)
	}
	if err != nil {
		return err
	}
	defer l.Close()
	remembering, stop := context.WithCancel(context.WithoutCancel(ctx))
	remembered := make(chan struct{})
	go func() { defer close(remembered); h.remember(remembering, l, logger) }()
	defer func() { stop(); <-remembered }()
	if err := metrics.Watch(l); err != nil {
		return err
	}
	if _, _, err := h.store.Published(ctx); err == nil && policy == nil {
		logger.Warn("this log had witnesses, and now publishes without them: there is no --witness-policy")
	}
	asker, err := h.witnesses(l, policy, logger)
	if err != nil {
		return err
	}
	stopAsking, err := h.ask(ctx, asker, metrics)
	if err != nil {
		return err
	}
	defer stopAsking()

	// 3. Serve.
	handler, err := api.New(api.Options{
		Log:           l,
		PublicKey:     h.key.Public(),
		Author:        h.author,
		URL:           c.publicURL(listener.Addr(), h.identity.Origin),
		MaxBody:       c.MaxBody,
		MaxAttachment: c.MaxAttachment,
		Logger:        logger,
		Metrics:       metrics,
		OpenAPI:       cairn.OpenAPI,
		Policy:        policy,
		Witnesses:     healthOf(asker),
	})
	if err != nil {
		return err
	}
	failed := make(chan error, 2)
	server := api.NewServer(handler, logger)
	go func() { failed <- fmt.Errorf("serve: %w", server.Serve(listener)) }()
	where := [][2]string{{"URL", "http://" + reachable(listener.Addr())}}
	if metricsListener != nil {
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", metrics.Handler())
		m := api.NewServer(mux, logger)
		go func() { failed <- fmt.Errorf("serve metrics: %w", m.Serve(metricsListener)) }()
		defer m.Close()
		where = append(where, [2]string{"metrics", "http://" + reachable(metricsListener.Addr()) + "/metrics"})
	}
	if err := h.describe(out, where...); err != nil {
		return err
	}
	logger.Info("serving", zap.String("url", where[0][1]), zap.String("log", h.identity.Origin),
		zap.Int64("tree id", h.identity.TreeID), zap.Bool("new", h.created))

	// 4. Stop: no new requests, answers for those that are here, then the log
	// and the store by the deferred calls.
	select {
	case err = <-failed:
		server.Close()
		return err
	case <-ctx.Done():
	}
	logger.Info("stopping; a second signal ends at once")
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		logger.Warn("some requests got no answer", zap.Error(err))
		server.Close()
	}
	return nil
}

// listen takes an address, or says with which flag to choose another.
func listen(ctx context.Context, address, flag string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("the address %s is taken by another program; choose another with %s", address, flag)
	}
	if errors.As(err, new(*net.AddrError)) {
		return nil, refuse("%s: %v", flag, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return l, nil
}

// publicURL returns the address for the documents that clients keep. What
// requests say is left alone: it is the word of whoever sends them. Without a
// flag it is the address on this machine, which is right for a log that is
// tried out and leads nobody astray.
func (c *serveCmd) publicURL(a net.Addr, origin string) string {
	if c.URL != "" {
		return c.URL
	}
	address := reachable(a)
	// Verifiers of v2 want the origin for a host.
	if host, port, err := net.SplitHostPort(address); err == nil && host == "127.0.0.1" && origin == "localhost" {
		address = net.JoinHostPort(origin, port)
	}
	return "http://" + address
}

// reachable returns an address to use on this machine for one that is listened on.
func reachable(a net.Addr) string {
	t, ok := a.(*net.TCPAddr)
	if !ok || !t.IP.IsUnspecified() {
		return a.String()
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(t.Port))
}

func newLogger(w io.Writer, level, format string) (*zap.Logger, error) {
	lv, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, err
	}
	enc := zap.NewProductionEncoderConfig()
	enc.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	enc.EncodeDuration = zapcore.StringDurationEncoder
	enc.TimeKey = "time"
	e := zapcore.NewJSONEncoder(enc)
	if format == "text" {
		enc.EncodeTime = zapcore.TimeEncoderOfLayout("2006-01-02 15:04:05.000")
		e = zapcore.NewConsoleEncoder(enc)
	}
	return zap.New(zapcore.NewCore(e, zapcore.Lock(zapcore.AddSync(w)), lv)), nil
}
