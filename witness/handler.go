package witness

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/cairnlog/cairn/merkle"
)

const (
	// sizeType is the content type of the size in a 409.
	sizeType = "text/x.tlog.size"
	// noteType is that of checkpoints and signature lines.
	noteType = "text/plain; charset=utf-8"
	// maxInFlight is how many requests are worked on at once.
	maxInFlight = 64
	// answerWithin bounds the work on one request.
	answerWithin = 10 * time.Second
)

// A Handled is a request as the observer of a Handler sees it.
type Handled struct {
	Origin string // "" if the witness does not know the log
	Status int
	Took   time.Duration
}

// Handler returns the HTTP interface of a witness:
//
//	POST /add-checkpoint          cosign a checkpoint
//	GET  /HASH/checkpoint         the newest cosigned one; HASH is the SHA-256 of the origin in hex
//	GET  /healthz                 whether the store can be read
//
// Each call of add-checkpoint is told to observe, if it is not nil.
func (w *Witness) Handler(logger *zap.Logger, observe func(Handled)) http.Handler {
	if logger == nil {
		logger = zap.NewNop()
	}
	h := &handler{witness: w, logger: logger, observe: observe, slots: make(chan struct{}, maxInFlight)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add-checkpoint", h.add)
	mux.HandleFunc("GET /{hash}/checkpoint", h.latest)
	mux.HandleFunc("GET /healthz", h.health)
	return mux
}

type handler struct {
	witness *Witness
	logger  *zap.Logger
	observe func(Handled)
	slots   chan struct{}
}

func (h *handler) add(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	origin, status := h.cosign(w, r)
	if h.observe != nil {
		h.observe(Handled{Origin: origin, Status: status, Took: time.Since(start)})
	}
}

// cosign answers add-checkpoint.
func (h *handler) cosign(w http.ResponseWriter, r *http.Request) (origin string, status int) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return "", h.refuse(w, http.StatusRequestEntityTooLarge, "a request has at most "+strconv.Itoa(maxRequest)+" bytes", nil)
	}
	if err != nil {
		return "", h.refuse(w, http.StatusBadRequest, "the request was cut off", nil)
	}
	req, err := ParseRequest(body)
	if err != nil {
		return "", h.refuse(w, http.StatusBadRequest, err.Error(), nil)
	}
	// Only now: who sends slowly should take nobody's place.
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	default:
		w.Header().Set("Retry-After", "1")
		return "", h.refuse(w, http.StatusServiceUnavailable, "too many requests", nil)
	}
	ctx, cancel := context.WithTimeout(r.Context(), answerWithin)
	defer cancel()
	if first, _, _ := strings.Cut(string(req.Note), "\n"); h.witness.logs[first] != nil {
		origin = first
	}
	line, err := h.witness.Add(ctx, req)
	var stale *StaleError
	switch {
	case err == nil:
		w.Header().Set("Content-Type", noteType)
		w.Write(line) //nolint:errcheck // the client is gone
		return origin, http.StatusOK
	case errors.As(err, &stale):
		w.Header().Set("Content-Type", sizeType)
		w.WriteHeader(http.StatusConflict)
		io.WriteString(w, strconv.FormatInt(stale.Size, 10)+"\n") //nolint:errcheck // the client is gone
		return origin, http.StatusConflict
	case errors.Is(err, ErrMalformed):
		return origin, h.refuse(w, http.StatusBadRequest, err.Error(), nil)
	case errors.Is(err, ErrUnknownLog):
		return origin, h.refuse(w, http.StatusNotFound, err.Error(), nil)
	case errors.Is(err, ErrUntrusted):
		return origin, h.refuse(w, http.StatusForbidden, err.Error(), nil)
	case errors.Is(err, ErrBusy):
		w.Header().Set("Retry-After", "1")
		return origin, h.refuse(w, http.StatusTooManyRequests, err.Error(), nil)
	case errors.Is(err, ErrInconsistent):
		if fork := (*merkle.RootError)(nil); errors.As(err, &fork) {
			h.logger.Error("a log has signed two trees of one size: this checkpoint is proof, beside the one cosigned last",
				zap.String("log", origin), zap.Error(err), zap.ByteString("checkpoint", req.Note))
		} else {
			h.logger.Warn("a checkpoint is not shown to continue the one cosigned last", zap.String("log", origin), zap.Error(err))
		}
		return origin, h.refuse(w, http.StatusUnprocessableEntity, err.Error(), nil)
	}
	return origin, h.refuse(w, http.StatusInternalServerError, "the witness cannot answer now", err)
}

func (h *handler) latest(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), answerWithin)
	defer cancel()
	var sum [32]byte
	hash := r.PathValue("hash")
	if n, err := hex.Decode(sum[:], []byte(hash[:min(len(hash), 2*len(sum))])); err != nil || n != len(sum) || hex.EncodeToString(sum[:]) != hash {
		h.refuse(w, http.StatusNotFound, "a log is named by the SHA-256 of its origin, in lower-case hex", nil)
		return
	}
	note, err := h.witness.Latest(ctx, h.witness.origins[sum])
	switch {
	case errors.Is(err, ErrUnknownLog):
		h.refuse(w, http.StatusNotFound, err.Error(), nil)
	case err != nil:
		h.refuse(w, http.StatusInternalServerError, "the witness cannot answer now", err)
	default:
		w.Header().Set("Content-Type", noteType)
		w.Header().Set("Cache-Control", "no-cache")
		w.Write(note) //nolint:errcheck // the client is gone
	}
}

func (h *handler) health(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), answerWithin)
	defer cancel()
	// That there is nothing of this name is an answer too.
	if _, err := h.witness.store.Witnessed(ctx, h.witness.cosigner.Name()); err != nil {
		h.refuse(w, http.StatusServiceUnavailable, "the store cannot be read", err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, "{\"status\":\"ok\"}\n") //nolint:errcheck // the client is gone
}

// refuse answers with a status and a sentence. The cause, which is ours, is
// for the log only.
func (h *handler) refuse(w http.ResponseWriter, status int, text string, cause error) int {
	if cause != nil {
		h.logger.Error("request failed", zap.Int("status", status), zap.Error(cause))
	}
	w.Header().Set("Content-Type", noteType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	io.WriteString(w, text+"\n") //nolint:errcheck // the client is gone
	return status
}
