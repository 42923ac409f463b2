# Everything here works in a fresh clone with Go, make and bash. Tests need
# Postgres too, and bring up one of their own: see .ci/with-postgres.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME ?= 30s
BENCH ?= .
# Where goroutines meet. The other packages have no concurrency of their own;
# storage/sqlite has that of storage/keyindex, and a driver (C made into Go)
# which the race detector makes some ten times slower.
RACE := ./api/... ./client ./entry/... ./log ./merkle ./pki ./sign ./storage/keyindex ./storage/memory ./storage/postgres ./witness

.PHONY: help build test race lint fuzz bench compat clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/cairn, a static binary
	CGO_ENABLED=0 go build -trimpath -o bin/cairn ./cmd/cairn

test: ## run all tests, with a throw-away Postgres
	.ci/with-postgres go test ./...

race: ## run the tests of what is concurrent under the race detector
	.ci/with-postgres go test -race $(RACE)

lint: ## check format, go vet, staticcheck
	@bad=$$(gofmt -l .); [ -z "$$bad" ] || { echo "not formatted: $$bad" >&2; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...

fuzz: ## run each fuzz target for FUZZTIME (30s)
	.ci/fuzz $(FUZZTIME)

bench: ## run the Go benchmarks; BENCH=pattern chooses
	.ci/with-postgres go test -run '^$$' -bench '$(BENCH)' -benchmem ./...

compat: ## compare with Rekor's code; run rekor-cli and cosign against a started Cairn
	cd compat/differential && go test -mod=mod -count=1 ./...
	cd compat/bundles && go test -mod=mod -count=1 ./...
	cd compat/witness && go test -mod=mod -count=1 ./...
	cd compat && ../.ci/with-postgres ../.ci/with-nginx go test -count=1 -timeout 60m ./...

clean: ## remove what the other targets made
	rm -rf bin
	go clean -testcache
