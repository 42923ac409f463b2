package api_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cairnlog/cairn/api"
	"github.com/cairnlog/cairn/api/apitest"
	v2 "github.com/cairnlog/cairn/api/v2"
	"github.com/cairnlog/cairn/entry"
	"github.com/cairnlog/cairn/log"
)

// TestRefusalsV2 has each row of the table of errors.
func TestRefusalsV2(t *testing.T) {
	t.Parallel()
	body, _, _ := request2(t)
	v1body, err := json.Marshal(map[string]any{"kind": "hashedrekord", "apiVersion": "0.0.1", "spec": map[string]any{}})
	if err != nil {
		t.Fatal(err)
	}
	const secret = "dial tcp 10.0.0.7:5432: password=hunter2"
	fails := func(err error) func(*troubledLog) {
		return func(l *troubledLog) { l.add = func(context.Context) error { return err } }
	}
	for _, tt := range []struct {
		name         string
		body         string
		query        string
		trouble      func(*troubledLog)
		status, code int
		text         string
		detail       string
		retry        bool
	}{
		{name: "bad JSON", body: "{", status: 400, code: 3, text: "unexpected EOF"},
		{name: "unknown field", body: strings.Replace(body, "{", `{"x":1,`, 1), status: 400, code: 3, text: `unknown field "x"`},
		{name: "member of another type", body: `{"hashedRekordRequestV002":[]}`, status: 400, code: 3, text: "unexpected token ["},
		{name: "invalid entry", body: strings.Replace(body, `"digest":"`, `"digest":"AAAA`, 1), status: 400, code: 3, text: "invalid hashedrekord request", detail: "digest has 35 bytes"},
		{name: "wrong signature", body: strings.Replace(body, `"content":"`, `"content":"AAAA`, 1), status: 400, code: 3, text: "invalid hashedrekord request", detail: "verify signature"},
		{name: "algorithm that is not allowed", body: strings.Replace(body, "PKIX_ECDSA_P256_SHA_256", "PKIX_ED25519", 1), status: 400, code: 3, text: "invalid hashedrekord request", detail: "keyDetails"},
		{name: "invalid envelope", body: `{"dsseRequestV002":{}}`, status: 400, code: 3, text: "invalid dsse request", detail: "envelope is missing"},
		{name: "no type", body: "{}", status: 400, code: 3, text: "invalid type, must be hashedrekord"},
		{name: "no body", body: "", status: 400, code: 3, text: "invalid type, must be hashedrekord"},
		{name: "v1 proposal", body: string(v1body), status: 400, code: 3, text: "unknown field"},
		{name: "wait for something else", query: "?wait=tomorrow", body: body, status: 400, code: 3, text: "all one can wait for is cosigned"},
		{name: "body over 4 MiB", body: `{"x":"` + strings.Repeat("a", v2.MaxBody) + `"}`, status: 400, code: 3, text: "request body too large"},
		{name: "more verifiers than one can read", body: `{"dsseRequestV002":{"verifiers":[{}` + strings.Repeat(",{}", 1_000_000) + `]}}`, status: 400, code: 3, text: "more than 1000 objects"},
		{name: "deeper than one can read", body: `{"x":` + strings.Repeat("[", 2_000_000), status: 400, code: 3, text: "exceeded max depth"},
		{name: "leaf over an entry bundle", body: largeV2(t), status: 400, code: 3, text: "invalid hashedrekord request", detail: "the limit is 65535"},
		{name: "pushback before verification", body: body, trouble: func(l *troubledLog) { l.full = true }, status: 503, code: 14, text: "reached max pushback; retry", retry: true},
		{name: "pushback", body: body, trouble: fails(log.ErrBusy), status: 503, code: 14, text: "reached max pushback; retry", retry: true},
		{name: "log is closed", body: body, trouble: fails(log.ErrClosed), status: 503, code: 14, text: "the log takes no requests", retry: true},
		{name: "outcome unknown", body: body, trouble: fails(log.ErrUnknown), status: 503, code: 14, text: "uploading it again is safe", retry: true},
		{name: "out of time", body: body, trouble: fails(context.DeadlineExceeded), status: 503, code: 14, text: "uploading it again is safe", retry: true},
		{name: "integration failed", body: body, trouble: fails(errors.New(secret)), status: 500, code: 2, text: "failed to integrate entry"},
		{name: "panic", body: body, trouble: func(l *troubledLog) { l.add = func(context.Context) error { panic(secret) } }, status: 500, code: 2, text: "Internal Server Error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, l := troubled(t, api.Options{})
			s.Client().Transport = s.Checker.Transport(t, http.DefaultTransport, false)
			if tt.trouble != nil {
				tt.trouble(l)
			}
			a := post2(t, s, tt.query, tt.body)
			if a.StatusCode != tt.status || a.status.Code != tt.code || !strings.Contains(a.status.Message, tt.text) {
				t.Errorf("%d %s, want %d with code %d and %q", a.StatusCode, a.raw, tt.status, tt.code, tt.text)
			}
			if !bytes.Contains(a.raw, []byte(`"details":[`)) || (tt.detail != "") != (len(a.status.Details) == 1) || !bytes.Contains(a.raw, []byte(tt.detail)) {
				t.Errorf("details of %s, want %q", a.raw, tt.detail)
			}
			if (a.Header.Get("Retry-After") != "") != tt.retry {
				t.Errorf("Retry-After is %q", a.Header.Get("Retry-After"))
			}
			if bytes.Contains(a.raw, []byte("hunter2")) {
				t.Errorf("the answer says what happened inside: %s", a.raw)
			}
			head, err := l.Head(t.Context())
			if err != nil || head.Tree.Size != 0 {
				t.Errorf("the log has %v, %v", head.Tree, err)
			}
		})
	}
}

// largeV2 returns a request with a certificate that no leaf holds.
func largeV2(t *testing.T) string {
	t.Helper()
	key := apitest.NewKey(t)
	names := make([]string, 1900)
	for i := range names {
		names[i] = fmt.Sprintf("%020d.example", i)
	}
	cert, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: names}, &x509.Certificate{}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(nil)
	sig, err := ecdsa.SignASN1(rand.Reader, key.(*ecdsa.PrivateKey), digest[:])
	if err != nil {
		t.Fatal(err)
	}
	r := v2.Request{HashedRekord: &entry.HashedRekord002{
		Digest:    digest[:],
		Signature: &entry.Signature{Content: sig, Verifier: &entry.Verifier{Certificate: cert, KeyDetails: "PKIX_ECDSA_P256_SHA_256"}},
	}}
	return string(r.Append(nil))
}

// TestMethodsV2 asks for uploads in ways in which they cannot be had.
func TestMethodsV2(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t, api.Options{})
	for _, tt := range []struct {
		method, path string
		status, code int
	}{
		{http.MethodGet, v2.PathEntries, 405, 12},
		{http.MethodDelete, v2.PathEntries, 405, 12},
		{http.MethodGet, v2.PathEntries + "/0", 404, 5},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, s.URL+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		a := send2(t, s, req)
		if a.StatusCode != tt.status || a.status.Code != tt.code {
			t.Errorf("%s %s: %d %s", tt.method, tt.path, a.StatusCode, a.raw)
		}
		if tt.status == 405 && a.Header.Get("Allow") != "POST" {
			t.Errorf("%s %s: Allow is %q", tt.method, tt.path, a.Header.Get("Allow"))
		}
	}
}

// TestContentTypeV2 sends what nobody has declared as JSON.
func TestContentTypeV2(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t, api.Options{})
	s.Client().Transport = s.Checker.Transport(t, http.DefaultTransport, false)
	for _, ct := range []string{"", "text/plain", "application/json; charset=utf-8", "nonsense"} {
		body, _, _ := request2(t)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+v2.PathEntries, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header["Content-Type"] = []string{ct}
		if a := send2(t, s, req); a.StatusCode != 201 {
			t.Errorf("content type %q: %d %s", ct, a.StatusCode, a.raw)
		}
	}
}

// TestNoCheckpointsV2 uploads to a log that has nothing to answer with.
func TestNoCheckpointsV2(t *testing.T) {
	t.Parallel()
	key := apitest.NewKey(t)
	h, err := api.New(api.Options{Log: apitest.NewLog(t, key, nil), PublicKey: key.Public()})
	if err != nil {
		t.Fatal(err)
	}
	s := apitest.ServeHandler(t, key, h)
	body, _, _ := request2(t)
	if a := post2(t, s, "", body); a.StatusCode != 501 || a.status.Code != v2.CodeUnimplemented {
		t.Errorf("%d %s", a.StatusCode, a.raw)
	}
}

// TestClientGoneV2 has a client that hangs up while its entry is added. What
// it would be answered is what metrics and log have.
func TestClientGoneV2(t *testing.T) {
	t.Parallel()
	key := apitest.NewKey(t)
	l := &troubledLog{Log: apitest.NewLog(t, key, nil)}
	metrics := api.NewMetrics(api.Build{})
	h, err := api.New(api.Options{Log: l, PublicKey: key.Public(), Author: apitest.NewAuthor(t), Metrics: metrics})
	if err != nil {
		t.Fatal(err)
	}
	ctx, hangUp := context.WithCancel(t.Context())
	l.add = func(ctx context.Context) error {
		hangUp()
		<-ctx.Done()
		return ctx.Err()
	}
	body, _, _ := request2(t)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodPost, v2.PathEntries, strings.NewReader(body)))
	var s v2.Status
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil || w.Code != 499 || s.Code != v2.CodeCanceled {
		t.Errorf("%d %s, %v", w.Code, w.Body, err)
	}
	if text := scrape(t, metrics); !strings.Contains(text, `rekor_qps_by_api{code="499",method="POST",path="/api/v2/log/entries"} 1`) {
		t.Errorf("no 499 in the metrics:\n%s", text)
	}
}
