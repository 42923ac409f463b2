package api

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	v1 "github.com/cairnlog/cairn/api/v1"
	v2 "github.com/cairnlog/cairn/api/v2"
)

// An exchange is one request and its answer. It is the ResponseWriter that
// the router and the handlers see. It goes back to its pool after use.
type exchange struct {
	http.ResponseWriter
	path    string // as it was asked for
	plain   bool   // the path had to be tidied up in no way
	op      *operation
	status  int    // of the answer, 0 before there is one
	written int64  // bytes of the answer's body
	cause   error  // of a refusal, for the log
	buf     []byte // the answer is rendered here
	body    []byte // of the request
	held    int64  // what body took of server.memory
	started time.Time
}

// keepBuffer is the largest buffer that goes back to the pool.
const keepBuffer = 64 << 10

func (x *exchange) WriteHeader(status int) {
	if x.status == 0 {
		x.status = status
	}
	x.ResponseWriter.WriteHeader(status)
}

func (x *exchange) Write(b []byte) (int, error) {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	n, err := x.ResponseWriter.Write(b)
	x.written += int64(n)
	return n, err
}

// Unwrap serves http.ResponseController.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// ServeHTTP answers one request, whatever happens on the way.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := s.exchanges.Get().(*exchange)
	*x = exchange{
		ResponseWriter: w,
		path:           r.URL.Path,
		plain:          true,
		op:             elsewhere,
		buf:            x.buf[:0],
		body:           x.body[:0],
		started:        time.Now(),
	}
	defer s.finish(x, r)
	if p, ok := plainPath(r.URL); !ok {
		// The router compares paths as they are; what it gets is tidied up
		// here, because clients count on these being no redirect.
		x.plain = false
		u := *r.URL
		u.Path, u.RawPath = p, ""
		r2 := *r
		r2.URL = &u
		s.handler.ServeHTTP(x, &r2)
		return
	}
	s.handler.ServeHTTP(x, r)
}

// finish ends an exchange: it turns a panic into an answer, counts, logs, and
// gives back what the exchange held.
func (s *server) finish(x *exchange, r *http.Request) {
	abort := false // half an answer must not look whole
	if v := recover(); v != nil {
		abort = x.status != 0
		if v == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
			abort = true
		} else {
			s.logger.Error("panic", zap.Any("value", v), zap.ByteString("stack", debug.Stack()))
		}
		if !abort {
			s.refuse(x, panicked(v))
		}
	}
	took := time.Since(x.started)
	s.metrics.observe(x.op, x.status, took)
	s.logExchange(x, r, took, abort)
	if x.held > 0 {
		s.memory.Release(x.held)
	}
	x.ResponseWriter, x.cause, x.op, x.path = nil, nil, nil, ""
	if cap(x.buf) > keepBuffer {
		x.buf = nil
	}
	if cap(x.body) > keepBuffer {
		x.body = nil
	}
	if abort {
		panic(http.ErrAbortHandler)
	}
	s.exchanges.Put(x)
}

// logExchange writes one line: at info when the server is to blame, else at
// debug. What clients sent is in fields, which zap escapes; bodies and
// queries are in none.
func (s *server) logExchange(x *exchange, r *http.Request, took time.Duration, abort bool) {
	level := zapcore.DebugLevel
	if x.status >= 500 || abort && r.Context().Err() == nil {
		level = zapcore.InfoLevel
	}
	line := s.logger.Check(level, "request")
	if line == nil {
		return
	}
	fields := []zap.Field{
		zap.String("id", requestID(r)),
		zap.String("method", r.Method),
		zap.String("path", x.path),
		zap.Int("status", x.status),
		zap.Int64("bytes", x.written),
		zap.Duration("took", took),
		zap.String("remote", r.RemoteAddr),
		zap.String("agent", r.UserAgent()),
	}
	if x.cause != nil {
		fields = append(fields, zap.Error(x.cause))
	}
	line.Write(fields...)
}

// requestID returns the client's X-Request-Id if it is a sane one, else a new one.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	sane := id != "" && len(id) <= 128
	for i := 0; sane && i < len(id); i++ {
		sane = id[i] > ' ' && id[i] < 0x7f
	}
	if sane {
		return id
	}
	var b [8]byte
	v := rand.Uint64()
	for i := range b {
		b[i] = byte(v >> (8 * i))
	}
	return hex.EncodeToString(b[:])
}

// handle makes a handler of an operation.
func (s *server) handle(op *operation) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		x := w.(*exchange)
		x.op = op
		if op.noStore {
			h := x.Header()
			h["Cache-Control"] = cacheControl
			h["Expires"] = expires
			h["Pragma"] = pragma
			h["X-Accel-Expires"] = accelExpires
		}
		if op.exact {
			x.Header()["Cache-Control"] = noStore // of a refusal: it may be there later
			if !x.plain {
				s.refuse(x, notFound(x.path))
				return
			}
		}
		ctx, cancel := context.WithTimeoutCause(r.Context(), s.timeout, errTimeout)
		defer cancel()
		err := op.serve(s, ctx, x, r)
		switch {
		case err == nil:
		case x.status == 0:
			s.refuse(x, op.refuse(ctx, err))
		default: // some of the answer is out; cut it short so that it shows
			x.cause = err
			panic(http.ErrAbortHandler)
		}
	}
}

var errTimeout = fmt.Errorf("operation took too long: %w", context.DeadlineExceeded)

// What keeps answers out of caches. Headers share these slices; nobody
// changes them.
var (
	cacheControl = []string{"no-cache, no-store, no-transform, must-revalidate, private, max-age=0"}
	expires      = []string{"Thu, 01 Jan 1970 00:00:00 GMT"}
	pragma       = []string{"no-cache"}
	accelExpires = []string{"0"}
	jsonHeader   = []string{typeJSON}
	pemHeader    = []string{typePEM}
)

// maxText is how much of a refusal's text is sent: it may quote the request.
const maxText = 4 << 10

// refuse answers with a refusal.
func (s *server) refuse(x *exchange, e *refusal) {
	x.cause = e.cause
	h := x.Header()
	if e.allow != "" {
		h["Allow"] = []string{e.allow}
	}
	if e.retry {
		h["Retry-After"] = []string{retryAfterSeconds}
	}
	if e.close {
		h["Connection"] = []string{"close"}
	}
	if e.text == "" {
		h["Content-Length"] = []string{"0"}
		x.WriteHeader(e.status)
		return
	}
	if x.op.refuseAs != nil || strings.HasPrefix(x.path, v2.PathEntries) {
		x.buf = e.appendStatus(x.buf[:0])
	} else {
		x.buf = e.appendError(x.buf[:0])
	}
	if e.pem {
		h["Content-Type"] = pemHeader
	} else {
		h["Content-Type"] = jsonHeader
	}
	x.send(e.status)
}

// appendError appends the body of a refusal of the v1 API.
func (e *refusal) appendError(b []byte) []byte {
	code := e.code
	if code == 0 {
		code = e.status
	}
	b = append(b, `{"code":`...)
	b = strconv.AppendInt(b, int64(code), 10)
	b = append(b, `,"message":`...)
	b = v1.AppendString(b, e.text[:min(len(e.text), maxText)])
	b = append(b, '}')
	if !e.bare {
		b = append(b, '\n')
	}
	return b
}

// send answers with what was rendered into x.buf.
func (x *exchange) send(status int) {
	x.Header()["Content-Length"] = []string{strconv.Itoa(len(x.buf))}
	x.WriteHeader(status)
	if _, err := x.Write(x.buf); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
		x.cause = err // the client is gone; there is nobody to tell
	}
}

// sendBytes answers 200 with b, which may be shared with others.
func (x *exchange) sendBytes(b []byte) {
	x.Header()["Content-Length"] = []string{strconv.Itoa(len(b))}
	x.WriteHeader(http.StatusOK)
	if _, err := x.Write(b); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
		x.cause = err // the client is gone; there is nobody to tell
	}
}

// sendJSON answers 200 with the JSON text in x.buf, the last of it if
// sendPart sent some before.
func (x *exchange) sendJSON() {
	if x.status != 0 {
		x.Write(x.buf) //nolint:errcheck // the client is gone; there is nobody to tell
		return
	}
	x.Header()["Content-Type"] = jsonHeader
	x.send(http.StatusOK)
}

// sendPart sends b as the next part of a JSON text, with status 200, if it is
// long enough, and returns what is left of it to send.
func (x *exchange) sendPart(b []byte) ([]byte, error) {
	if len(b) < keepBuffer/2 {
		return b, nil
	}
	if x.status == 0 {
		x.Header()["Content-Type"] = jsonHeader
	}
	_, err := x.Write(b)
	return b[:0], err
}
