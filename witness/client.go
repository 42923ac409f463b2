package witness

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/cairnlog/cairn/checkpoint"
)

const (
	// maxAnswer bounds what is read of an answer.
	maxAnswer = maxNote
	// maxPause bounds how long a witness can make us wait by Retry-After.
	maxPause = 5 * time.Minute
	// maxClockSkew is how far the time of a cosignature may be from ours.
	maxClockSkew = 10 * time.Minute
)

// A StatusError is an answer of a witness that is no cosignature.
type StatusError struct {
	Code  int
	Text  string        // begin of the body; from the network
	Pause time.Duration // for how long it asks to be left alone; 0 if it does not say
}

func (e *StatusError) Error() string {
	hint := ""
	switch e.Code {
	case http.StatusNotFound:
		hint = ", it does not know this log (or this is not its address)"
	case http.StatusForbidden:
		hint = ", it knows this log by another key"
	}
	return fmt.Sprintf("witness answers %d%s: %q", e.Code, hint, e.Text)
}

// A client speaks to one witness.
type client struct {
	url      *url.URL // prefix of add-checkpoint
	verifier note.Verifier
	http     *http.Client
	now      func() time.Time
}

// newClient returns a client of the witness at a URL of http or https.
func newClient(prefix string, v note.Verifier, transport http.RoundTripper, now func() time.Time) (*client, error) {
	u, err := url.Parse(prefix)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%q is not a URL of http or https with a host and without a query", prefix)
	}
	return &client{url: u, verifier: v, now: now, http: &http.Client{
		Transport: transport,
		// A witness is where the policy says that it is.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// add asks for a cosignature of the checkpoint in r and returns its line, which
// has been verified. It fails with a StaleError, with ErrInconsistent, or with
// a StatusError.
func (c *client) add(ctx context.Context, r Request) (string, error) {
	code, header, body, err := c.do(ctx, http.MethodPost, c.url.JoinPath("add-checkpoint"), r.Body())
	if err != nil {
		return "", err
	}
	switch {
	case code == http.StatusOK:
		return c.cosignature(r.Note, body)
	case code == http.StatusConflict && strings.HasPrefix(header.Get("Content-Type"), sizeType):
		size, err := parseSize(strings.TrimSuffix(string(body), "\n"))
		if err != nil {
			return "", fmt.Errorf("witness answers 409: %w", err)
		}
		return "", &StaleError{Size: size}
	// By an older form of the protocol another root has a 409 too.
	case code == http.StatusUnprocessableEntity, code == http.StatusConflict:
		return "", fmt.Errorf("witness answers %d: %w", code, ErrInconsistent)
	}
	return "", statusError(code, header, body)
}

// cosignature finds and verifies the witness's line among those it answers
// for a checkpoint.
func (c *client) cosignature(msg, lines []byte) (string, error) {
	i := bytes.LastIndex(msg, []byte("\n\n"))
	if i < 0 {
		return "", errors.New("the checkpoint has no signature")
	}
	s, err := c.find(append(msg[:i+2:i+2], lines...))
	if err != nil {
		return "", fmt.Errorf("cosignature: %w", err)
	}
	at, err := checkpoint.CosignatureTime(s)
	if err != nil {
		return "", err
	}
	if d := c.now().Sub(time.Unix(at, 0)); d.Abs() > maxClockSkew {
		return "", fmt.Errorf("cosignature is of %s: the clock of the witness or ours is wrong", time.Unix(at, 0).UTC().Format(time.RFC3339))
	}
	return "— " + s.Name + " " + s.Base64 + "\n", nil
}

// find returns the witness's own signature of a note, verified.
func (c *client) find(msg []byte) (note.Signature, error) {
	n, err := note.Open(msg, note.VerifierList(c.verifier))
	if err != nil {
		return note.Signature{}, err
	}
	return n.Sigs[0], nil
}

// latest asks for the newest checkpoint of a log that the witness has
// cosigned. It has not been verified. Not every witness answers this where it
// takes checkpoints.
func (c *client) latest(ctx context.Context, origin string) ([]byte, error) {
	code, header, body, err := c.do(ctx, http.MethodGet, c.url.JoinPath(fmt.Sprintf("%x", sha256.Sum256([]byte(origin))), "checkpoint"), nil)
	if err != nil {
		return nil, err
	}
	if code != http.StatusOK {
		return nil, statusError(code, header, body)
	}
	return body, nil
}

func (c *client) do(ctx context.Context, method string, u *url.URL, body []byte) (int, http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	req.Header.Set("User-Agent", "cairn")
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(b) > maxAnswer {
		err = fmt.Errorf("answer has over %d bytes", maxAnswer)
	}
	return resp.StatusCode, resp.Header, b, err
}

func statusError(code int, header http.Header, body []byte) error {
	e := &StatusError{Code: code, Text: string(bytes.TrimSpace(body[:min(len(body), 200)]))}
	if s, err := strconv.Atoi(header.Get("Retry-After")); err == nil && s > 0 {
		e.Pause = min(time.Duration(s)*time.Second, maxPause)
	}
	return e
}
