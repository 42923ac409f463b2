package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"time"

	"github.com/cairnlog/cairn/log"
)

const (
	// firstRead is what a body gets before anything of it has arrived: enough
	// for a hashedrekord with a certificate.
	firstRead = 8 << 10

	// smallBody is how far a body grows without asking. What is larger takes
	// its memory from what largeBodies of the largest size would need, so
	// that many of them at once are refused instead of filling the machine.
	smallBody   = 128 << 10
	largeBodies = 4

	// A large body has slowBody to arrive, and a second for each slowRate
	// bytes: who sends slower must not keep others from that memory.
	slowBody = 5 * time.Second
	slowRate = 512 << 10
)

// readBody reads the body of a request, of at most limit bytes, into x.body.
// It is valid until dropBody, or until the exchange ends.
func (s *server) readBody(x *exchange, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, bodyTooLarge(limit)
	}
	var started time.Time // since when it is large
	b := x.body
	if cap(b) == 0 {
		b = make([]byte, 0, min(firstRead, limit+1))
	}
	for {
		n, err := r.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		x.body = b
		if int64(len(b)) > limit {
			return nil, bodyTooLarge(limit)
		}
		if err == io.EOF {
			if x.held > 0 {
				// Or the end of that time would end the request.
				_ = http.NewResponseController(x).SetReadDeadline(started.Add(readTimeout))
			}
			return b, nil
		}
		if err != nil {
			return nil, refuseBody(err)
		}
		if len(b) < cap(b) {
			continue
		}
		size := min(2*int64(cap(b)), limit+1) // one more, to see that it is too large
		if size > smallBody {
			if !s.memory.TryAcquire(size) {
				return nil, noMemory()
			}
			if x.held == 0 {
				started = time.Now()
			}
			// Without a connection, as in a test, nothing is slow.
			_ = http.NewResponseController(x).SetReadDeadline(started.Add(min(
				slowBody+time.Duration(size)*time.Second/slowRate, readTimeout)))
		}
		grown := make([]byte, len(b), size)
		copy(grown, b)
		b = grown
		if size > smallBody {
			s.memory.Release(x.held) // of what was copied
			x.held = size
		}
	}
}

// dropBody gives back the memory of a large body that has been read and
// understood: from here on the client, or a witness, may take its time. What
// was made of the body must not share its memory.
func (s *server) dropBody(x *exchange) {
	if x.held > 0 {
		s.memory.Release(x.held)
		x.held, x.body = 0, nil
	}
}

// isBlank says that there is only JSON's white space in b.
func isBlank(b []byte) bool { return len(bytes.Trim(b, " \t\r\n")) == 0 }

// readQuery reads the JSON body of a query into v. Only the first value of
// the body counts. what is "entry" or "query", as Rekor's texts have it.
func (s *server) readQuery(x *exchange, r *http.Request, what string, v any) error {
	if err := isJSON(r); err != nil {
		return err
	}
	b, err := s.readBody(x, r, s.maxBody)
	if err != nil {
		return err
	}
	if isBlank(b) {
		return required(what, "body")
	}
	if err := json.NewDecoder(bytes.NewReader(b)).Decode(v); err != nil {
		return badJSON(what, jsonTrouble(err))
	}
	return nil
}

// jsonTrouble says what is wrong with a JSON text in terms of the text, not
// of our types.
func jsonTrouble(err error) string {
	var t *json.UnmarshalTypeError
	if !errors.As(err, &t) {
		return err.Error()
	}
	want := "a value of another type"
	switch t.Type.Kind() {
	case reflect.String:
		want = "a string"
	case reflect.Int64:
		want = "an integer"
	case reflect.Slice:
		want = "an array"
		if t.Type.Elem().Kind() == reflect.Uint8 {
			want = "a base64 string"
		}
	case reflect.Struct:
		want = "an object"
	}
	field := t.Field
	if field == "" {
		field = "the body"
	}
	return fmt.Sprintf("%s has to be %s, not %s", field, want, t.Value)
}

// isNotFound says that there is no such entry.
func isNotFound(err error) bool {
	return errors.Is(err, log.ErrNotFound) || errors.Is(err, log.ErrOutOfRange)
}
