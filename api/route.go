package api

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-chi/chi/v5"

	v1 "github.com/cairnlog/cairn/api/v1"
	v2 "github.com/cairnlog/cairn/api/v2"
)

// An operation is one thing that a client can ask for.
type operation struct {
	id      string // operationId in openapi.yaml
	method  string
	pattern string // of the path, as chi and OpenAPI write it
	trouble string // what a client reads when something goes wrong inside
	noStore bool   // keep the answer out of caches
	hidden  bool   // not counted
	exact   bool   // for caches: the path is to be as in the pattern, with nothing to tidy up
	serve   func(s *server, ctx context.Context, x *exchange, r *http.Request) error

	refuseAs func(ctx context.Context, err error) *refusal // nil refuses as the v1 API does

	counters *opCounters // nil for a hidden one
}

// refuse turns what serve returned into a refusal.
func (op *operation) refuse(ctx context.Context, err error) *refusal {
	if op.refuseAs != nil {
		return op.refuseAs(ctx, err)
	}
	return refuse(ctx, err, op.trouble)
}

// paramUUID names the path parameter of getLogEntryByUUID.
const paramUUID = "entryUUID"

// operations returns all of them.
func operations() []operation {
	return []operation{
		{id: "createLogEntry", method: http.MethodPost, pattern: v1.PathEntries, trouble: textCreate, serve: (*server).create},
		{id: "getLogEntryByIndex", method: http.MethodGet, pattern: v1.PathEntries, trouble: textRead, noStore: true, serve: (*server).entryByIndex},
		{id: "getLogEntryByUUID", method: http.MethodGet, pattern: v1.PathEntries + "/{" + paramUUID + "}", trouble: textRead, noStore: true, serve: (*server).entryByUUID},
		{id: "getOfflineBundle", method: http.MethodGet, pattern: v1.PathEntries + "/{" + paramUUID + "}/bundle", trouble: textRead, noStore: true, serve: (*server).offline},
		{id: "searchLogQuery", method: http.MethodPost, pattern: v1.PathRetrieve, trouble: textRead, serve: (*server).retrieve},
		{id: "getLogInfo", method: http.MethodGet, pattern: v1.PathLog, trouble: textRead, noStore: true, serve: (*server).logInfo},
		{id: "getLogProof", method: http.MethodGet, pattern: v1.PathProof, trouble: textRead, noStore: true, serve: (*server).proof},
		{id: "getPublicKey", method: http.MethodGet, pattern: v1.PathPublicKey, trouble: textRead, noStore: true, serve: (*server).publicKey},
		{id: "searchIndex", method: http.MethodPost, pattern: v1.PathIndex, trouble: textSearch, serve: (*server).searchIndex},

		{id: "getCheckpointV2", method: http.MethodGet, pattern: pathV2 + pathCheckpoint, trouble: textRead, exact: true, serve: (*server).checkpoint},
		{id: "getTileV2", method: http.MethodGet, pattern: pathV2 + pathTile, trouble: textRead, exact: true, serve: (*server).tile},
		{id: "headCheckpointV2", method: http.MethodHead, pattern: pathV2 + pathCheckpoint, trouble: textRead, exact: true, serve: (*server).checkpoint},
		{id: "headTileV2", method: http.MethodHead, pattern: pathV2 + pathTile, trouble: textRead, exact: true, serve: (*server).tile},
		{id: "getCheckpoint", method: http.MethodGet, pattern: pathCheckpoint, trouble: textRead, exact: true, serve: (*server).checkpoint},
		{id: "getTile", method: http.MethodGet, pattern: pathTile, trouble: textRead, exact: true, serve: (*server).tile},
		{id: "headCheckpoint", method: http.MethodHead, pattern: pathCheckpoint, trouble: textRead, exact: true, serve: (*server).checkpoint},
		{id: "headTile", method: http.MethodHead, pattern: pathTile, trouble: textRead, exact: true, serve: (*server).tile},
		{id: "createEntryV2", method: http.MethodPost, pattern: v2.PathEntries, refuseAs: refuseV2, serve: (*server).createV2},

		{id: "getTrustIndex", method: http.MethodGet, pattern: pathWellKnown, hidden: true, serve: (*server).trustIndex},
		{id: "getTrustDocument", method: http.MethodGet, pattern: pathWellKnown + "/{" + paramDocument + "}", hidden: true, serve: (*server).trustDocument},

		{id: "ping", method: http.MethodGet, pattern: "/ping", hidden: true, serve: (*server).ping},
		{id: "pingHead", method: http.MethodHead, pattern: "/ping", hidden: true, serve: (*server).ping},
		{id: "health", method: http.MethodGet, pattern: "/healthz", hidden: true, noStore: true, serve: (*server).health},
		{id: "healthHead", method: http.MethodHead, pattern: "/healthz", hidden: true, noStore: true, serve: (*server).health},
		{id: "description", method: http.MethodGet, pattern: "/openapi.yaml", hidden: true, serve: (*server).description},
	}
}

// elsewhere is the operation of requests that ask for none.
var elsewhere = &operation{hidden: true}

// routes returns the router over all operations.
func (s *server) routes() http.Handler {
	mux := chi.NewRouter()
	ops := operations()

	for i := range ops {
		op := &ops[i]
		mux.Method(op.method, op.pattern, s.handle(op))
		if !op.hidden {
			op.counters = s.metrics.counters(op)
		}
	}
	methods := []string{http.MethodGet, http.MethodPost} // that an API path may know, as an Allow header has them
	mux.NotFound(func(w http.ResponseWriter, _ *http.Request) {
		x := w.(*exchange)
		s.refuse(x, notFound(x.path))
	})
	mux.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		x := w.(*exchange)
		var allow []string
		for _, m := range methods {
			if mux.Match(chi.NewRouteContext(), m, r.URL.Path) {
				allow = append(allow, m)
			}
		}
		if len(allow) == 0 || !strings.HasPrefix(r.URL.Path, "/api/") {
			// chi comes here for any path if it does not know the method. Off
			// the API no path has other methods, as with Rekor's /ping.
			s.refuse(x, notFound(x.path))
			return
		}
		s.refuse(x, notAllowed(r.Method, strings.Join(allow, ",")))
	})
	return mux
}

// plainPath returns the path that u means, and whether that is how u has it:
// without doubled slashes, without a slash at the end, and unescaped.
func plainPath(u *url.URL) (string, bool) {
	p := u.Path
	if u.RawPath == "" && !strings.Contains(p, "//") && (len(p) < 2 || p[len(p)-1] != '/') {
		return p, true
	}
	parts := strings.FieldsFunc(p, func(r rune) bool { return r == '/' })
	return "/" + strings.Join(parts, "/"), false
}
