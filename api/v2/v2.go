// Package v2 holds the wire formats of the Rekor v2 HTTP API, shared by the
// server and the client. It does no I/O.
//
// The messages are protobuf's in their JSON form,
// https://github.com/sigstore/rekor-tiles/tree/main/api/proto/rekor/v2 and
// https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_rekor.proto.
package v2

// PathEntries is where entries are added.
const PathEntries = "/api/v2/log/entries"

// MaxBody is the largest body of a request in bytes.
const MaxBody = 4 << 20

// HeaderIndex names the header of a duplicate's answer that has the index of
// the entry that was there before.
const HeaderIndex = "X-Log-Index"

// Codes of gRPC that the body of a refusal has.
// https://grpc.io/docs/guides/status-codes/
const (
	CodeCanceled         = 1
	CodeUnknown          = 2
	CodeInvalidArgument  = 3
	CodeDeadlineExceeded = 4
	CodeNotFound         = 5
	CodeAlreadyExists    = 6
	CodeUnimplemented    = 12
	CodeInternal         = 13
	CodeUnavailable      = 14
)

// A Status is the body of every refusal, a google.rpc.Status.
type Status struct {
	Code    int          `json:"code"`
	Message string       `json:"message"`
	Details []BadRequest `json:"details"`
}

// A BadRequest says what was wrong with a request, a google.rpc.BadRequest.
// There are no details of other types here.
type BadRequest struct {
	Type            string           `json:"@type"` // TypeBadRequest
	FieldViolations []FieldViolation `json:"fieldViolations"`
}

// A FieldViolation says what is wrong with one member.
type FieldViolation struct {
	Field       string `json:"field"`
	Description string `json:"description"`
}

// TypeBadRequest is the type of a BadRequest.
const TypeBadRequest = "type.googleapis.com/google.rpc.BadRequest"
