package api_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cairnlog/cairn/api"
	"github.com/cairnlog/cairn/api/apitest"
	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/witness"
)

func TestHealthOfWitnesses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		witnesses func() string
		want      string
	}{
		{nil, "{\"status\":\"ok\"}\n"},
		{func() string { return "ok" }, "{\"status\":\"ok\",\"witnesses\":\"ok\"}\n"},
		{func() string { return "witness \"a\" <is away>" }, "{\"status\":\"ok\",\"witnesses\":\"witness \\\"a\\\" \\u003cis away\\u003e\"}\n"},
	} {
		s := apitest.Serve(t, api.Options{Witnesses: c.witnesses})
		if res, got := fetch(t, s, "GET", "/healthz"); res.StatusCode != 200 || string(got) != c.want {
			t.Errorf("%s %s, want %s", res.Status, got, c.want)
		}
	}
}

// TestPolicyOfWitnesses reads the policy that a log hands out.
func TestPolicyOfWitnesses(t *testing.T) {
	t.Parallel()
	c, err := checkpoint.NewCosigner("w.example", apitest.CheckpointKey(), nil)
	if err != nil {
		t.Fatal(err)
	}
	quorum := "witness w " + c.VKey() + "\ngroup g 1 w\nquorum g\n"
	policy, err := checkpoint.ParsePolicy([]byte(strings.ReplaceAll(quorum, "\ngroup", " https://secret.example/\ngroup")))
	if err != nil {
		t.Fatal(err)
	}
	s := apitest.Serve(t, api.Options{Policy: policy})
	_, got := fetch(t, s, "GET", "/.well-known/tlog-policy")
	if !strings.HasPrefix(string(got), "log ") || !strings.HasSuffix(string(got), "\n"+quorum) {
		t.Errorf("policy\n%s", got)
	}
	if p, err := checkpoint.ParsePolicy(got); err != nil || len(p.Logs()) != 1 {
		t.Errorf("policy %v\n%s", err, got)
	}
}

func TestMetricsOfWitnesses(t *testing.T) {
	t.Parallel()
	m := api.NewMetrics(api.Build{})
	status := witness.Status{Published: 7, At: time.Unix(1700000000, 5e8), Witnesses: []witness.WitnessStatus{
		{Name: "a", Size: 7, Success: time.Unix(1700000000, 0), Cosigned: 3, Failed: 1},
		{Name: "b", Contradicts: true},
		{Name: "\xff"},
	}}
	if err := m.WatchWitnesses(func() witness.Status { return status }); err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	m.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	got := rec.Body.String()
	for _, want := range []string{
		"\ncairn_published_size 7\n",
		"\ncairn_published_timestamp_seconds 1.7000000005e+09\n",
		"\ncairn_witness_size{witness=\"a\"} 7\n",
		"\ncairn_witness_last_success_timestamp_seconds{witness=\"a\"} 1.7e+09\n",
		"\ncairn_witness_last_success_timestamp_seconds{witness=\"b\"} 0\n",
		"\ncairn_witness_requests_total{result=\"cosigned\",witness=\"a\"} 3\n",
		"\ncairn_witness_requests_total{result=\"failed\",witness=\"a\"} 1\n",
		"\ncairn_witness_contradicts{witness=\"a\"} 0\n",
		"\ncairn_witness_contradicts{witness=\"b\"} 1\n",
		"\ncairn_witness_size{witness=\"\\\"\\\\xff\\\"\"} 0\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}
