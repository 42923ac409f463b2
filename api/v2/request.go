package v2

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/cairnlog/cairn/entry"
	"github.com/cairnlog/cairn/entry/jcs"
)

// A Request is a CreateEntryRequest: one of its members is set, or none if
// the request names no type.
type Request struct {
	HashedRekord *entry.HashedRekord002
	DSSE         *entry.DSSE002
}

// maxObjects is the most objects that a request may have. An envelope with all
// the signatures and verifiers that are allowed has 43. An empty object of three
// bytes becomes a message of a hundred times as many.
const maxObjects = 1000

// A Parser reads requests. It may be used concurrently.
type Parser struct {
	request protoreflect.MessageDescriptor
}

// NewParser returns a Parser.
func NewParser() (*Parser, error) {
	d, err := requestDescriptor()
	if err != nil {
		return nil, err
	}
	return &Parser{request: d}, nil
}

// Parse reads a request with Rekor's verdict on its form: the first value of
// body counts, names are in lowerCamel or snake case, bytes are in either
// alphabet of base64 with or without padding, enums are names or numbers;
// what is unknown, or there twice, is an error. No body at all is a request
// without a type.
//
// The result shares no memory with body.
func (p *Parser) Parse(body []byte) (*Request, error) {
	if r, ok := parsePlain(body); ok {
		return r, nil
	}
	return p.parse(body)
}

func (p *Parser) parse(body []byte) (*Request, error) {
	var first json.RawMessage
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&first); err != nil {
		if errors.Is(err, io.EOF) {
			return &Request{}, nil
		}
		return nil, err
	}
	if bytes.Count(first, []byte{'{'}) > maxObjects {
		return nil, fmt.Errorf("more than %d objects", maxObjects)
	}
	m := dynamicpb.NewMessage(p.request)
	if err := protojson.Unmarshal(first, m); err != nil {
		// The library varies its white space on purpose.
		return nil, errors.New(strings.ReplaceAll(err.Error(), "\u00a0", " "))
	}
	var r Request
	top := msg{m}
	if h, ok := top.message("hashed_rekord_request_v002"); ok {
		r.HashedRekord = &entry.HashedRekord002{Digest: h.bytes("digest")}
		if s, ok := h.message("signature"); ok {
			r.HashedRekord.Signature = &entry.Signature{Content: s.bytes("content")}
			if v, ok := s.message("verifier"); ok {
				verifier := v.verifier()
				r.HashedRekord.Signature.Verifier = &verifier
			}
		}
	}
	if d, ok := top.message("dsse_request_v002"); ok {
		r.DSSE = new(entry.DSSE002)
		if e, ok := d.message("envelope"); ok {
			r.DSSE.Envelope = &entry.Envelope002{
				PayloadType: e.get("payloadType").String(),
				Payload:     e.bytes("payload"),
			}
			for s := range e.list("signatures") {
				r.DSSE.Envelope.Signatures = append(r.DSSE.Envelope.Signatures, s.bytes("sig"))
			}
		}
		for v := range d.list("verifiers") {
			r.DSSE.Verifiers = append(r.DSSE.Verifiers, v.verifier())
		}
	}
	return &r, nil
}

// A msg is a message whose fields are got by name.
type msg struct{ protoreflect.Message }

func (m msg) field(name protoreflect.Name) protoreflect.FieldDescriptor {
	return m.Descriptor().Fields().ByName(name)
}

func (m msg) get(name protoreflect.Name) protoreflect.Value { return m.Get(m.field(name)) }

func (m msg) bytes(name protoreflect.Name) []byte { return m.get(name).Bytes() }

// message returns a field that is a message, and whether it is there.
func (m msg) message(name protoreflect.Name) (msg, bool) {
	return msg{m.get(name).Message()}, m.Has(m.field(name))
}

func (m msg) list(name protoreflect.Name) func(yield func(msg) bool) {
	l := m.get(name).List()
	return func(yield func(msg) bool) {
		for i := range l.Len() {
			if !yield(msg{l.Get(i).Message()}) {
				return
			}
		}
	}
}

// verifier reads a Verifier. What has no bytes is empty, not nil.
func (m msg) verifier() entry.Verifier {
	var v entry.Verifier
	if k, ok := m.message("public_key"); ok {
		v.PublicKey = append([]byte{}, k.bytes("raw_bytes")...)
	}
	if c, ok := m.message("x509_certificate"); ok {
		v.Certificate = append([]byte{}, c.bytes("raw_bytes")...)
	}
	number := m.get("key_details").Enum()
	if d := m.field("key_details").Enum().Values().ByNumber(number); d != nil {
		v.KeyDetails = string(d.Name())
	} else {
		v.KeyDetails = strconv.Itoa(int(number))
	}
	return v
}

// Append appends r as JSON.
func (r *Request) Append(b []byte) []byte {
	switch {
	case r.HashedRekord != nil:
		b = append(b, `{"hashedRekordRequestV002":{"digest":`...)
		b = appendBytes(b, r.HashedRekord.Digest)
		if s := r.HashedRekord.Signature; s != nil {
			b = append(b, `,"signature":{"content":`...)
			b = appendBytes(b, s.Content)
			if s.Verifier != nil {
				b = append(b, `,"verifier":`...)
				b = appendVerifier(b, s.Verifier)
			}
			b = append(b, '}')
		}
		return append(b, "}}"...)
	case r.DSSE != nil:
		b = append(b, `{"dsseRequestV002":{`...)
		if e := r.DSSE.Envelope; e != nil {
			b = append(b, `"envelope":{"payload":`...)
			b = appendBytes(b, e.Payload)
			b = append(b, `,"payloadType":`...)
			b = jcs.AppendString(b, []byte(e.PayloadType))
			b = append(b, `,"signatures":[`...)
			for i, s := range e.Signatures {
				if i > 0 {
					b = append(b, ',')
				}
				b = append(b, `{"sig":`...)
				b = append(appendBytes(b, s), '}')
			}
			b = append(b, `]},`...)
		}
		b = append(b, `"verifiers":[`...)
		for i := range r.DSSE.Verifiers {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendVerifier(b, &r.DSSE.Verifiers[i])
		}
		return append(b, "]}}"...)
	}
	return append(b, "{}"...)
}

func appendVerifier(b []byte, v *entry.Verifier) []byte {
	b = append(b, '{')
	if v.Certificate != nil {
		b = append(b, `"x509Certificate":{"rawBytes":`...)
		b = append(appendBytes(b, v.Certificate), "},"...)
	}
	if v.PublicKey != nil {
		b = append(b, `"publicKey":{"rawBytes":`...)
		b = append(appendBytes(b, v.PublicKey), "},"...)
	}
	b = append(b, `"keyDetails":`...)
	return append(jcs.AppendString(b, []byte(v.KeyDetails)), '}')
}

func appendBytes(b, raw []byte) []byte {
	b = append(b, '"')
	b = base64.StdEncoding.AppendEncode(b, raw)
	return append(b, '"')
}
