package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	v1 "github.com/cairnlog/cairn/api/v1"
	v2 "github.com/cairnlog/cairn/api/v2"
	"github.com/cairnlog/cairn/log"
)

// Texts of refusals are Rekor v2's where it has one for the case.

// refuseV2 is refuse for operations of the v2 API.
func refuseV2(ctx context.Context, err error) *refusal {
	r := refuse(ctx, err, "failed to integrate entry")
	if errors.Is(err, log.ErrBusy) {
		r.text = "reached max pushback; retry"
	}
	return r
}

// rpcCode is the gRPC code that stands for a status.
func rpcCode(status int) int {
	switch status {
	case http.StatusNotFound:
		return v2.CodeNotFound
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return v2.CodeUnimplemented
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return v2.CodeDeadlineExceeded
	case http.StatusConflict:
		return v2.CodeAlreadyExists
	case statusClientGone:
		return v2.CodeCanceled
	case http.StatusServiceUnavailable:
		return v2.CodeUnavailable
	case http.StatusInternalServerError:
		return v2.CodeUnknown
	}
	return v2.CodeInvalidArgument
}

// appendStatus appends the body of a refusal of the v2 API.
func (e *refusal) appendStatus(b []byte) []byte {
	b = append(b, `{"code":`...)
	b = strconv.AppendInt(b, int64(rpcCode(e.status)), 10)
	b = append(b, `,"message":`...)
	b = v1.AppendString(b, e.text[:min(len(e.text), maxText)])
	b = append(b, `,"details":[`...)
	if e.detail != "" {
		b = append(b, `{"@type":"`+v2.TypeBadRequest+`","fieldViolations":[{"field":`...)
		b = v1.AppendString(b, e.field)
		b = append(b, `,"description":`...)
		b = v1.AppendString(b, e.detail[:min(len(e.detail), maxText)])
		b = append(b, `}]}`...)
	}
	return append(b, "]}\n"...)
}

// invalidV2 refuses an entry. Rekor says no more than the kind; why is in the
// details here.
func invalidV2(kind, field string, err error) error {
	return &refusal{
		status: http.StatusBadRequest,
		text:   "invalid " + kind + " request",
		field:  field,
		detail: err.Error(),
	}
}

// refuseBodyV2 is what an error of readBody becomes. There is no gRPC code for
// a body that is too large.
func refuseBodyV2(err error, limit int64) error {
	var r *refusal
	if errors.As(err, &r) && r.status == http.StatusRequestEntityTooLarge {
		return &refusal{
			status: http.StatusBadRequest,
			text:   fmt.Sprintf("http: request body too large, the limit is %d bytes", limit),
			close:  true,
		}
	}
	return err
}

func duplicateV2(index int64) error {
	return &refusal{
		status: http.StatusConflict,
		text:   fmt.Sprintf("an equivalent entry already exists in the transparency log with index %d", index),
	}
}

// noCheckpoints refuses uploads to a log without a checkpoint to answer with.
func noCheckpoints() error {
	return &refusal{status: http.StatusNotImplemented, text: "this log signs no C2SP checkpoints and so cannot answer in Rekor v2's form"}
}
