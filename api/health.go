package api

import (
	"context"
	"encoding/json"
	"net/http"
)

var textHeader = []string{"text/plain"}

// ping says that the process serves HTTP, and nothing more.
func (s *server) ping(_ context.Context, x *exchange, _ *http.Request) error {
	x.Header()["Content-Type"] = textHeader
	x.buf = append(x.buf[:0], '.')
	x.send(http.StatusOK)
	return nil
}

// health says whether the log can be read and written now.
func (s *server) health(ctx context.Context, x *exchange, _ *http.Request) error {
	if err := s.log.Ready(ctx); err != nil {
		return notReady(err)
	}
	x.buf = append(x.buf[:0], `{"status":"ok"`...)
	if s.witnesses != nil {
		words, err := json.Marshal(s.witnesses())
		if err != nil {
			return err
		}
		x.buf = append(append(x.buf, `,"witnesses":`...), words...)
	}
	x.buf = append(x.buf, "}\n"...)
	x.sendJSON()
	return nil
}

// description serves openapi.yaml.
func (s *server) description(_ context.Context, x *exchange, _ *http.Request) error {
	if s.openAPI == nil {
		return notFound(x.path)
	}
	x.Header()["Content-Type"] = []string{"application/yaml"}
	x.buf = append(x.buf[:0], s.openAPI...)
	x.send(http.StatusOK)
	return nil
}
