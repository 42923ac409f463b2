package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	v1 "github.com/cairnlog/cairn/api/v1"
	v2 "github.com/cairnlog/cairn/api/v2"
)

const (
	// maxAnswer bounds a successful answer. The largest in use is a search
	// with many hits, at 83 bytes each.
	maxAnswer = 64 << 20
	// maxRefusal bounds what is read of any other answer.
	maxRefusal = 64 << 10
	// maxMessage bounds what of a refusal's text is shown to people.
	maxMessage = 1000

	firstPause = 200 * time.Millisecond
	maxPause   = 10 * time.Second
)

// get returns the body of a successful answer of that content type.
func (c *Client) get(ctx context.Context, path string, query url.Values, accept string) ([]byte, error) {
	return c.do(ctx, http.MethodGet, path, query, nil, accept)
}

// getJSON decodes a successful answer into out.
func (c *Client) getJSON(ctx context.Context, path string, query url.Values, out any) error {
	body, err := c.get(ctx, path, query, "application/json")
	if err != nil {
		return err
	}
	return decode(http.MethodGet, path, body, out)
}

// postJSON sends in and decodes a successful answer into out.
func (c *Client) postJSON(ctx context.Context, path string, in, out any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	body, err := c.do(ctx, http.MethodPost, path, nil, b, "application/json")
	if err != nil {
		return err
	}
	return decode(http.MethodPost, path, body, out)
}

func decode(method, path string, body []byte, out any) error {
	if err := json.Unmarshal(body, out); err != nil {
		return &NetworkError{Method: method, Path: path, Err: fmt.Errorf("answer is not the JSON that is due: %s", Printable(err.Error(), ""))}
	}
	return nil
}

// do sends a request until it is answered for good: by a success, by a refusal
// that would be the same next time, or until retries or time are used up.
// Sending an upload twice is safe, the second copy is answered as a duplicate.
// More headers are given as names and values in turn.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, body []byte, accept string, headers ...string) ([]byte, error) {
	if c.o.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.o.Timeout)
		defer cancel()
	}
	u := *c.base
	u.Path += path
	u.RawQuery = query.Encode()
	pause := firstPause
	for attempt := 1; ; attempt++ {
		answer, after, err := c.once(ctx, method, u.String(), path, body, accept, headers)
		if err == nil {
			return answer, nil
		}
		var again bool
		switch e := err.(type) {
		case *StatusError:
			e.Attempts = attempt
			again = e.Retryable()
		case *NetworkError:
			e.Attempts = attempt
			again = !errors.As(e.Err, new(finalError))
		}
		if !again || attempt > c.o.Retries || ctx.Err() != nil {
			return nil, err
		}
		wait := pause/2 + rand.N(pause/2)
		if after > 0 {
			wait = after
		}
		if pause = 2 * pause; pause > maxPause {
			pause = maxPause
		}
		// There is no sense in waiting for a time that is not granted.
		if end, ok := ctx.Deadline(); ok && time.Until(end) < wait {
			return nil, err
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil, err
		case <-t.C:
		}
	}
}

// A finalError is trouble that will be the same at the next attempt.
type finalError struct{ error }

// once sends a request once. With an error it says what pause the server asked for.
func (c *Client) once(ctx context.Context, method, u, path string, body []byte, accept string, headers []string) ([]byte, time.Duration, error) {
	fail := func(err error) ([]byte, time.Duration, error) {
		return nil, 0, &NetworkError{Method: method, Path: path, Err: err}
	}
	var r io.Reader
	if body != nil {
		r = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, u, r)
	if err != nil {
		return fail(finalError{err})
	}
	req.Header.Set("User-Agent", c.o.UserAgent)
	req.Header.Set("Accept", accept)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := c.http.Do(req)
	if err != nil {
		// A *url.Error repeats method and URL, with the password of the URL.
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return fail(late(ctx, "no answer", err))
	}
	defer res.Body.Close()
	kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil {
		kind = ""
	}
	if res.StatusCode/100 == 3 {
		to := "elsewhere"
		if l, err := res.Location(); err == nil {
			to = "to " + Printable(plainURL(l), "")
		}
		return fail(finalError{fmt.Errorf("redirected %s, which is not followed; if that is the log's address, name it as the server", to)})
	}
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusCreated {
		b, _ := io.ReadAll(io.LimitReader(res.Body, maxRefusal))
		e := &StatusError{Method: method, Path: path, Status: res.StatusCode, Message: message(kind, b), location: res.Header.Get("Location")}
		return nil, retryAfter(res.Header.Get("Retry-After")), e
	}
	if kind != accept {
		return fail(finalError{fmt.Errorf("answer is %q, not %q: is this the address of a log?", Printable(kind, ""), accept)})
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return fail(late(ctx, "no complete answer", fmt.Errorf("read answer: %w", err)))
	}
	if len(b) > maxAnswer {
		return fail(finalError{fmt.Errorf("answer is over %d bytes", maxAnswer)})
	}
	return b, 0, nil
}

// late says it plainly if err is because the time was up or the user gave up.
func late(ctx context.Context, what string, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%s in time: %w", what, ctx.Err())
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted: %w", ctx.Err())
	}
	return err
}

// message returns what to show of a refusal: the text of the API's own error,
// or plain text. A page made for browsers is left out.
func message(kind string, body []byte) string {
	var s string
	switch kind {
	case "application/json", "application/x-pem-file": // an error of publicKey is JSON under that name
		var e v1.Error
		if json.Unmarshal(body, &e) == nil {
			s = e.Message + details(body)
		} else if json.Unmarshal(body, &s) != nil {
			return ""
		}
	case "text/plain":
		s = strings.TrimSpace(string(body))
	case "text/html":
		return "(the answer is a web page, probably of a proxy in between)"
	}
	if len(s) > maxMessage {
		s = strings.ToValidUTF8(s[:maxMessage], "") + " …"
	}
	return Printable(s, "")
}

// details returns what an error of the v2 API says beyond its message.
func details(body []byte) string {
	var e v2.Status
	var s strings.Builder
	if json.Unmarshal(body, &e) == nil {
		for _, d := range e.Details {
			for _, v := range d.FieldViolations {
				s.WriteString(": " + v.Description)
			}
		}
	}
	return s.String()
}

// retryAfter reads the header of that name: seconds or a date. Zero is none.
func retryAfter(s string) time.Duration {
	if s == "" {
		return 0
	}
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(s); err == nil {
		return max(0, time.Until(t))
	}
	return 0
}
