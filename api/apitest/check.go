// Package apitest helps to test what speaks Cairn's HTTP interface: it starts
// a server over a log in memory and holds every exchange against openapi.yaml.
package apitest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/cairnlog/cairn"
	v2 "github.com/cairnlog/cairn/api/v2"
)

// A Checker compares exchanges with openapi.yaml.
type Checker struct {
	doc *openapi3.T
}

var registerDecoders = sync.OnceFunc(func() {
	openapi3filter.RegisterBodyDecoder("application/x-pem-file", openapi3filter.PlainBodyDecoder)
	openapi3filter.RegisterBodyDecoder("application/vnd.dev.sigstore.bundle.v0.3+json", openapi3filter.JSONBodyDecoder)
})

// NewChecker reads openapi.yaml.
func NewChecker() (*Checker, error) {
	registerDecoders()
	doc, err := openapi3.NewLoader().LoadFromData(cairn.OpenAPI)
	if err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, fmt.Errorf("validate openapi.yaml: %w", err)
	}
	return &Checker{doc: doc}, nil
}

// Operations returns the operation ids by method and path, such as "GET /ping".
func (c *Checker) Operations() map[string]string {
	ids := make(map[string]string)
	for path, item := range c.doc.Paths.Map() {
		for method, op := range item.Operations() {
			ids[method+" "+path] = op.OperationID
		}
	}
	return ids
}

// Schemas returns the names of all schemas.
func (c *Checker) Schemas() []string {
	return slices.Sorted(maps.Keys(c.doc.Components.Schemas))
}

// CheckSchema compares a decoded JSON value with the schema of that name.
func (c *Checker) CheckSchema(name string, value any) error {
	ref := c.doc.Components.Schemas[name]
	if ref == nil {
		return fmt.Errorf("there is no schema %s", name)
	}
	return ref.Value.VisitJSON(value, openapi3.EnableJSONSchema2020())
}

// An Exchange is a request and its answer.
type Exchange struct {
	Method string
	URL    *url.URL
	Header http.Header // of the request
	Body   []byte      // of the request

	Status         int
	ResponseHeader http.Header
	ResponseBody   []byte
}

// Check returns what is wrong with an exchange. The answer must be described.
// The request must be as well, if it was accepted and strict is set.
func (c *Checker) Check(x Exchange, strict bool) error {
	route, params, known := c.route(x.Method, x.URL.Path)
	if route == nil {
		return c.checkUnrouted(x, known)
	}
	if res := route.Operation.Responses.Status(x.Status); res == nil {
		return fmt.Errorf("%s %s: status %d is not described", x.Method, route.Path, x.Status)
	} else if len(res.Value.Content) == 0 && len(x.ResponseBody) > 0 {
		return fmt.Errorf("%s %s: status %d is described without a body, but there is one", x.Method, route.Path, x.Status)
	}
	req := &http.Request{Method: x.Method, URL: x.URL, Header: x.Header, Body: io.NopCloser(bytes.NewReader(x.Body))}
	input := &openapi3filter.RequestValidationInput{
		Request:     req,
		PathParams:  params,
		QueryParams: x.URL.Query(),
		Route:       route,
	}
	ctx := context.Background()
	if strict && (x.Status < 300 || x.Status == http.StatusConflict) {
		if err := openapi3filter.ValidateRequest(ctx, input); err != nil {
			return fmt.Errorf("%s %s: the request was accepted but is not described: %w", x.Method, route.Path, err)
		}
	}
	err := openapi3filter.ValidateResponse(ctx, &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input,
		Status:                 x.Status,
		Header:                 x.ResponseHeader,
		Body:                   io.NopCloser(bytes.NewReader(x.ResponseBody)),
		Options:                &openapi3filter.Options{IncludeResponseStatus: true},
	})
	if err != nil {
		return fmt.Errorf("%s %s: %d: %w", x.Method, route.Path, x.Status, err)
	}
	return nil
}

// checkUnrouted looks at the answer to a request for no operation.
func (c *Checker) checkUnrouted(x Exchange, known bool) error {
	want := http.StatusNotFound
	if known {
		want = http.StatusMethodNotAllowed
	}
	preflight := x.Method == http.MethodOptions && x.Status == http.StatusNoContent
	if x.Status != want && x.Status != http.StatusNotFound && !preflight {
		return fmt.Errorf("%s %s: no operation, but status %d", x.Method, x.URL.Path, x.Status)
	}
	if x.Method == http.MethodHead || preflight {
		if len(x.ResponseBody) > 0 {
			return fmt.Errorf("%s %s: an answer with a body", x.Method, x.URL.Path)
		}
		return nil
	}
	return c.checkError(x)
}

// checkError wants the error body of the API.
func (c *Checker) checkError(x Exchange) error {
	value, err := openapi3filter.JSONBodyDecoder(bytes.NewReader(x.ResponseBody), x.ResponseHeader, nil, nil)
	if err != nil {
		return fmt.Errorf("%s %s: body of the refusal: %w", x.Method, x.URL.Path, err)
	}
	schema := "Error"
	if strings.HasPrefix(x.URL.Path, v2.PathEntries) {
		schema = "Status"
	}
	if err := c.CheckSchema(schema, value); err != nil {
		return fmt.Errorf("%s %s: body of the refusal: %w", x.Method, x.URL.Path, err)
	}
	return nil
}

// route finds the operation of a request. known says that the path is that of
// an operation with another method.
func (c *Checker) route(method, path string) (r *routers.Route, params map[string]string, known bool) {
	parts := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	best := -1 // literal parts of the match
	for template, item := range c.doc.Paths.Map() {
		p, literal, ok := match(strings.Split(template[1:], "/"), parts)
		if !ok {
			continue
		}
		known = true
		op := item.GetOperation(method)
		if op == nil || literal <= best {
			continue
		}
		best, params = literal, p
		r = &routers.Route{Spec: c.doc, Path: template, PathItem: item, Method: method, Operation: op}
	}
	return r, params, known
}

// manyParts is the parameter that stands for all that is left of a path. OpenAPI
// has no such thing.
const manyParts = "{tile}"

func match(template, parts []string) (params map[string]string, literal int, ok bool) {
	if last := len(template) - 1; template[last] == manyParts && len(parts) > last {
		parts = append(slices.Clone(parts[:last]), strings.Join(parts[last:], "/"))
	}
	if len(template) != len(parts) {
		return nil, 0, false
	}
	params = make(map[string]string)
	for i, t := range template {
		switch {
		case strings.HasPrefix(t, "{"):
			params[strings.Trim(t, "{}")] = parts[i]
		case t == parts[i]:
			literal++
		default:
			return nil, 0, false
		}
	}
	return params, literal, true
}
