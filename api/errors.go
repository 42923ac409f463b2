package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"

	v1 "github.com/cairnlog/cairn/api/v1"
	"github.com/cairnlog/cairn/entry"
	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
	"github.com/cairnlog/cairn/witness"
)

// Every HTTP status of a refusal is chosen in this file, or in errorsv2.go.

// statusClientGone is what logs and metrics show when the client hung up
// before there was an answer.
const statusClientGone = 499

// retryAfterSeconds is what Retry-After says. A commit takes milliseconds, so
// a full pool is never full for long.
const retryAfterSeconds = "1"

// A refusal is an answer other than success.
type refusal struct {
	status int
	code   int    // of the body; 0 means status
	text   string // of the body; "" sends no body at all
	cause  error  // for the log of the server only
	allow  string // of a 405
	pem    bool   // the quirk of publicKey: JSON under the content type of the key
	bare   bool   // no newline at the end, as Rekor's framework writes its own
	retry  bool   // send Retry-After
	close  bool   // the rest of the request will not be read

	field, detail string // of the v2 API: what is wrong, and with what
}

func (e *refusal) Error() string {
	if e.cause != nil {
		return e.text + ": " + e.cause.Error()
	}
	return e.text
}

func (e *refusal) Unwrap() error { return e.cause }

// Texts of refusals that say nothing about the inside. They are Rekor's,
// because people search for them.
const (
	textRead   = "unexpected error communicating with transparency log"
	textCreate = "unexpected result from transparency log"
	textSearch = "unexpected result from searching index"
)

// refuse turns what a handler returned into a refusal. trouble is the text
// that stands for whatever goes wrong inside.
func refuse(ctx context.Context, err error, trouble string) *refusal {
	r := decide(err, trouble)
	if r.status >= 500 && errors.Is(context.Cause(ctx), context.Canceled) {
		return &refusal{status: statusClientGone, text: "client disconnected during request", cause: err, close: true}
	}
	return r
}

func decide(err error, trouble string) *refusal {
	var r *refusal
	var tree *v1.TreeIDError
	switch {
	case errors.As(err, &r):
		return r
	case errors.As(err, &tree):
		return &refusal{status: http.StatusBadRequest, text: "validation error: " + tree.Error()}
	case errors.Is(err, log.ErrNotFound):
		return &refusal{status: http.StatusNotFound}
	case errors.Is(err, log.ErrBusy):
		return &refusal{status: http.StatusServiceUnavailable, text: "the log has more uploads pending than it takes; try again", retry: true}
	case errors.Is(err, log.ErrTooLarge):
		return &refusal{status: http.StatusRequestEntityTooLarge, text: fmt.Sprintf("error processing entry: canonical body is over the limit of %d bytes", log.MaxLeafSize)}
	case errors.Is(err, log.ErrUnknown):
		return unknown(err)
	case errors.Is(err, log.ErrClosed):
		return &refusal{status: http.StatusServiceUnavailable, text: "the log takes no requests now; try again later", cause: err, retry: true}
	case errors.Is(err, context.DeadlineExceeded):
		return &refusal{status: http.StatusGatewayTimeout, text: trouble, cause: err}
	}
	return &refusal{status: http.StatusInternalServerError, text: trouble, cause: err}
}

// refuseTile is what an error of reading a tile or a bundle becomes.
func refuseTile(t merkle.Tile, err error) error {
	if errors.Is(err, log.ErrNotFound) {
		return &refusal{status: http.StatusNotFound, text: fmt.Sprintf("the tree has no %v yet", t)}
	}
	return fmt.Errorf("read %v: %w", t, err)
}

// unknown refuses an upload that may have been added all the same.
func unknown(cause error) *refusal {
	return &refusal{
		status: http.StatusServiceUnavailable,
		text:   "the entry may have been added, the log could not find out in time; uploading it again is safe",
		cause:  cause,
		retry:  true,
	}
}

// refuseAdd is what Add's error becomes: an upload that ran out of time may
// have been added.
func refuseAdd(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return unknown(err)
	}
	return err
}

// refuseBody is what an error of reading the request's body becomes.
func refuseBody(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &refusal{status: http.StatusRequestTimeout, text: "the request took too long to arrive", close: true}
	}
	return &refusal{status: http.StatusBadRequest, text: "the request ended early", cause: err, bare: true, close: true}
}

func bodyTooLarge(limit int64) error {
	return &refusal{
		status: http.StatusRequestEntityTooLarge,
		text:   fmt.Sprintf("Request Entity Too Large. Limit set to %d", limit),
		bare:   true,
		close:  true,
	}
}

// noMemory refuses a large body while others fill the memory set aside for them.
func noMemory() error {
	return &refusal{status: http.StatusServiceUnavailable, text: "too many large requests at once; try again", retry: true, close: true}
}

// invalid is a 422 with the framework's number in the body.
func invalid(code int, format string, args ...any) error {
	return &refusal{status: http.StatusUnprocessableEntity, code: code, text: fmt.Sprintf(format, args...), bare: true}
}

func required(name, in string) error {
	return invalid(v1.CodeRequired, "%s in %s is required", name, in)
}

func pattern(name, in, expr string) error {
	return invalid(v1.CodePattern, "%s in %s should match '%s'", name, in, expr)
}

func tooMany() error {
	return &refusal{status: http.StatusUnprocessableEntity, text: fmt.Sprintf("more than max allowed %d entries in request", v1.MaxRetrieve)}
}

func badRequest(format string, args ...any) error {
	return &refusal{status: http.StatusBadRequest, text: fmt.Sprintf(format, args...)}
}

// badJSON refuses a query that could not be read. what is "entry" or "query".
func badJSON(what, text string) error {
	return &refusal{status: http.StatusBadRequest, text: fmt.Sprintf("parsing %s body from \"\" failed, because %s", what, text), bare: true}
}

// cannotMake refuses a file that cannot be made of an entry that is there.
func cannotMake(text string) error {
	return &refusal{status: http.StatusUnprocessableEntity, text: text}
}

// notYet refuses an entry that the witnesses have not seen.
func notYet() error {
	return &refusal{
		status: http.StatusServiceUnavailable,
		text:   "the entry is in no cosigned checkpoint yet; try again in a moment",
		retry:  true,
	}
}

func notFound(path string) *refusal {
	return &refusal{status: http.StatusNotFound, text: fmt.Sprintf("path %s was not found", path), bare: true}
}

func notAllowed(method, allow string) *refusal {
	return &refusal{
		status: http.StatusMethodNotAllowed,
		text:   fmt.Sprintf("method %s is not allowed, but [%s] are", method, allow),
		allow:  allow,
		bare:   true,
	}
}

func notAcceptable(offers string) error {
	return &refusal{status: http.StatusNotAcceptable, text: fmt.Sprintf("unsupported media type requested, only [%s] are available", offers), bare: true}
}

func badMediaType(header string, err error) error {
	return &refusal{status: http.StatusBadRequest, text: fmt.Sprintf("parsing Content-Type header from %q failed, because %v", header, err), bare: true}
}

func unsupportedMediaType(mediaType string) error {
	return &refusal{status: http.StatusUnsupportedMediaType, text: fmt.Sprintf("unsupported media type %q, only [%s] are allowed", mediaType, typeJSON), bare: true}
}

func unknownKeyTree(pem bool) error {
	return &refusal{status: http.StatusBadRequest, text: "Bad Request", bare: true, pem: pem}
}

func panicked(v any) *refusal {
	return &refusal{status: http.StatusInternalServerError, text: http.StatusText(http.StatusInternalServerError), cause: fmt.Errorf("panic: %v", v)}
}

// refuseProposal is what a refused proposal becomes at create.
func refuseProposal(err error) error {
	var e *entry.Error
	if !errors.As(err, &e) {
		return err // trouble of ours
	}
	switch e.Reason {
	case entry.Malformed:
		return &refusal{status: http.StatusBadRequest, text: e.Error(), bare: true}
	case entry.Required:
		return required(e.Field, "body")
	case entry.Pattern:
		return invalid(v1.CodePattern, "%s", e.Error())
	case entry.UnknownKind:
		return &refusal{status: http.StatusUnprocessableEntity, text: e.Error(), bare: true}
	case entry.TooLarge:
		return &refusal{status: http.StatusRequestEntityTooLarge, text: "error processing entry: " + e.Error()}
	}
	return badRequest("error processing entry: %v", e)
}

// refuseQueried is what a refused proposal becomes at retrieve, where it is
// number i of a list.
func refuseQueried(i int, err error) error {
	var e *entry.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Reason {
	case entry.Malformed, entry.UnknownKind:
		return badJSON("entry", e.Error())
	case entry.Required:
		if e.Field == "kind" {
			return badJSON("entry", "kind in body is required")
		}
		return required(fmt.Sprintf("entries.%d.%s", i, e.Field), "body")
	case entry.Pattern:
		return invalid(v1.CodePattern, "entries.%d.%s", i, e.Error())
	}
	return badRequest("%v", e)
}

func duplicate(id string) error {
	return &refusal{status: http.StatusConflict, text: "an equivalent entry already exists in the transparency log with UUID " + id}
}

// notReady is the answer of /healthz. Why is in the log, not in the answer,
// but that a witness has stopped the log is for everybody to know.
func notReady(cause error) error {
	r := &refusal{status: http.StatusServiceUnavailable, text: "the log cannot be read or written now", cause: cause, retry: true}
	if c := (*witness.ContradictionError)(nil); errors.As(cause, &c) {
		r.text = fmt.Sprintf("the log is stopped: witness %q has seen another history of it", c.Witness)
	}
	return r
}
