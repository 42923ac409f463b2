package main

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/mod/sumdb/note"

	"github.com/cairnlog/cairn/api"
	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/sign"
	"github.com/cairnlog/cairn/storage"
	"github.com/cairnlog/cairn/witness"
)

type witnessCmd struct {
	Name          string   `required:"" env:"CAIRN_WITNESS_NAME" placeholder:"NAME" help:"Name of the witness on its signatures, by custom its URL without the scheme. It cannot be changed later."`
	Log           []string `name:"log" sep:"none" env:"CAIRN_WITNESS_LOG" placeholder:"VKEY" help:"A log to cosign for, as its vkey; may be repeated. cairn serve prints that of a log."`
	Logs          string   `env:"CAIRN_WITNESS_LOGS" type:"path" placeholder:"FILE" help:"File with a vkey of a log on each line; lines that begin with # are skipped."`
	Data          string   `default:"./cairn-witness" env:"CAIRN_DATA" type:"path" placeholder:"DIR" help:"Directory of the key and, by default, of the database (${default})."`
	Storage       string   `env:"CAIRN_STORAGE" placeholder:"URL" help:"Database: postgres://… or sqlite:PATH. Default: witness.db in the data directory."`
	Key           string   `env:"CAIRN_KEY" type:"path" placeholder:"FILE" help:"Private key of the witness, Ed25519 in PEM. Default: witness-key.pem in the data directory, made at the first start."`
	Listen        string   `default:"127.0.0.1:3100" env:"CAIRN_LISTEN" placeholder:"ADDR" help:"Address to serve on (${default})."`
	MetricsListen string   `default:"none" env:"CAIRN_METRICS_LISTEN" placeholder:"ADDR" help:"Address to serve Prometheus metrics on (${default})."`
	LogLevel      string   `default:"info" enum:"debug,info,warn,error" env:"CAIRN_LOG_LEVEL" placeholder:"LEVEL" help:"What to log: ${enum} (${default})."`
	LogFormat     string   `default:"text" enum:"text,json" env:"CAIRN_LOG_FORMAT" placeholder:"FORMAT" help:"How to log: ${enum} (${default})."`
}

// Help is shown with the flags.
func (c *witnessCmd) Help() string {
	return `A witness cosigns the checkpoints of other people's logs (c2sp.org/tlog-witness)
and never two that contradict each other. The first start makes its key and says
the line by which a log names it in its policy; see docs/witnesses.md.`
}

// Run serves until g.Context ends.
func (c *witnessCmd) Run(g *Globals) error { return startError(c.serve(g.Context, g.Stdout, g.Stderr)) }

func (c *witnessCmd) serve(ctx context.Context, out, errOut io.Writer) error {
	logger, err := newLogger(errOut, c.LogLevel, c.LogFormat)
	if err != nil {
		return err
	}
	defer logger.Sync() //nolint:errcheck // a terminal cannot be synced

	// 1. What the operator may have got wrong.
	logs, err := c.logs()
	if err != nil {
		return err
	}
	listener, err := listen(ctx, c.Listen, "--listen")
	if err != nil {
		return err
	}
	defer listener.Close()

	// 2. The witness.
	store, cosigner, err := c.open(ctx, logger)
	if err != nil {
		return err
	}
	defer store.Close()
	w, err := witness.New(witness.Options{Store: store, Cosigner: cosigner, Logs: logs})
	if err != nil {
		return refuse("%v", err)
	}

	// 3. Serve.
	metrics := api.NewMetrics(build())
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cairn_witness_answers_total",
		Help: "Answers to requests for a cosignature, by log (empty if it is none of ours) and status.",
	}, []string{"log", "code"})
	if err := metrics.Register(requests); err != nil {
		return err
	}
	handler := w.Handler(logger, func(h witness.Handled) {
		requests.WithLabelValues(h.Origin, fmt.Sprint(h.Status)).Inc()
		logger.Debug("add-checkpoint", zap.String("log", h.Origin), zap.Int("status", h.Status), zap.Duration("took", h.Took))
	})
	failed := make(chan error, 2)
	server := api.NewServer(handler, logger)
	go func() { failed <- fmt.Errorf("serve: %w", server.Serve(listener)) }()
	url := "http://" + reachable(listener.Addr())
	rows := [][2]string{{"name", cosigner.Name()}, {"URL", url}, {"data", c.Data}, {"storage", redact(c.Storage)}, {"key", c.Key}}
	if c.MetricsListen != "none" {
		l, err := listen(ctx, c.MetricsListen, "--metrics-listen")
		if err != nil {
			return err
		}
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", metrics.Handler())
		m := api.NewServer(mux, logger)
		go func() { failed <- fmt.Errorf("serve metrics: %w", m.Serve(l)) }()
		defer m.Close()
		rows = append(rows, [2]string{"metrics", "http://" + reachable(l.Addr()) + "/metrics"})
	}
	for _, l := range logs {
		rows = append(rows, [2]string{"log", l.Name()})
	}
	// The last word is what a log's operator puts into the policy.
	rows = append(rows, [2]string{"policy", "witness " + cosigner.Name() + " " + cosigner.VKey() + " " + url})
	for _, r := range rows {
		if _, err := fmt.Fprintf(out, "%-8s %s\n", r[0], r[1]); err != nil {
			return err
		}
	}
	logger.Info("serving", zap.String("url", url), zap.String("witness", cosigner.Name()), zap.Int("logs", len(logs)))

	// 4. Stop: no new requests, answers for those that are here.
	select {
	case err = <-failed:
		server.Close()
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		logger.Warn("some requests got no answer", zap.Error(err))
		server.Close()
	}
	return nil
}

// logs returns the keys of the logs that the flags name.
func (c *witnessCmd) logs() ([]note.Verifier, error) {
	vkeys := c.Log
	if c.Logs != "" {
		text, err := readFile(c.Logs, 1<<20)
		if err != nil {
			return nil, refuse("--logs: %v", err)
		}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				vkeys = append(vkeys, line)
			}
		}
	}
	if len(vkeys) == 0 {
		return nil, refuse("there is no log to cosign for; name one with --log VKEY or --logs FILE")
	}
	var logs []note.Verifier
	for _, k := range vkeys {
		v, err := checkpoint.ParseVKey(k)
		if err != nil {
			return nil, refuse("%q is not the vkey of a log: %v", k, err)
		}
		logs = append(logs, v)
	}
	return logs, nil
}

// A witnessStore is an open store of a witness.
type witnessStore interface {
	witness.Store
	Close() error
}

// open opens the store and the key. A witness is both: with the key on an
// empty database it would cosign what contradicts what it has cosigned before.
// So the database remembers, under the witness's own name, whose it is, and
// the data directory that there is such a database. As with a log, each step
// can be cut off and done again: the key, the database, the memory.
func (c *witnessCmd) open(ctx context.Context, logger *zap.Logger) (_ witnessStore, _ *checkpoint.Cosigner, err error) {
	if c.Storage == "" {
		c.Storage = "sqlite:" + filepath.Join(c.Data, "witness.db")
	}
	made := c.Key == ""
	if made {
		c.Key = filepath.Join(c.Data, "witness-key.pem")
	}
	if err := makeDir(c.Data); err != nil {
		return nil, nil, fmt.Errorf("create data directory: %w", err)
	}
	memo := filepath.Join(c.Data, "witness.vkey")
	remembered, err := os.ReadFile(memo)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("read the data directory's witness: %w", err)
	}

	// 1. The key.
	key, err := sign.LoadKey(c.Key)
	lasting := c.Storage != "memory:"
	if err == nil && !lasting {
		return nil, nil, refuse("a witness that keeps nothing takes a new key at each start, but there is one at %s: "+
			"it could cosign what contradicts that which it has cosigned before", c.Key)
	}
	if errors.Is(err, fs.ErrNotExist) && made && remembered == nil {
		key, err = makeWitnessKey(c.Key)
	}
	if err != nil {
		return nil, nil, &refusal{err.Error()}
	}
	cosigner, err := checkpoint.NewCosigner(c.Name, key, nil)
	if err != nil {
		return nil, nil, refuse("%v; see --name and --key", err)
	}
	if have := strings.TrimSpace(string(remembered)); have != "" && have != cosigner.VKey() {
		return nil, nil, refuse("the data directory %s belongs to another witness: %s, not %s", c.Data, have, cosigner.VKey())
	}
	if sign.Exposed(c.Key) {
		logger.Warn("every user of this machine can read the witness's private key; chmod 600 it", zap.String("key", c.Key))
	}

	// 2. The database.
	opened, err := storage.Open(ctx, c.Storage)
	if err != nil {
		return nil, nil, fmt.Errorf("open %s: %w", redact(c.Storage), err)
	}
	defer func() {
		if err != nil {
			opened.Close()
		}
	}()
	store, ok := opened.(witnessStore)
	if !ok {
		return nil, nil, refuse("%s cannot keep the state of a witness", redact(c.Storage))
	}
	owner, err := store.Witnessed(ctx, cosigner.Name())
	if err != nil {
		return nil, nil, err
	}
	if owner == nil && remembered != nil && lasting {
		return nil, nil, refuse("%s does not know witness %q, but the data directory %s does: with an empty database it could cosign what contradicts "+
			"what it has cosigned before. Bring the database back, or start another witness, with another key, in another data directory",
			redact(c.Storage), cosigner.Name(), c.Data)
	}
	if owner == nil {
		if _, err := store.Witness(ctx, cosigner.Name(), nil, []byte(cosigner.VKey())); err != nil {
			return nil, nil, err
		}
		if owner, err = store.Witnessed(ctx, cosigner.Name()); err != nil {
			return nil, nil, err
		}
	}
	if string(owner) != cosigner.VKey() {
		return nil, nil, refuse("%s is of witness %s, not of %s", redact(c.Storage), owner, cosigner.VKey())
	}

	// 3. The memory.
	if remembered == nil && lasting {
		if err := writeFile(memo, []byte(cosigner.VKey()+"\n")); err != nil {
			return nil, nil, fmt.Errorf("remember the witness: %w", err)
		}
	}
	return store, cosigner, nil
}

// makeWitnessKey makes a key at path, if another process was not faster.
func makeWitnessKey(path string) (crypto.Signer, error) {
	key, err := sign.NewKey(sign.Ed25519)
	if err != nil {
		return nil, err
	}
	if err := sign.WriteKey(path, key); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("create witness key: %w", err)
	}
	return sign.LoadKey(path)
}
