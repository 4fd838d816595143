# Belfry's tasks. `make` lists them; CI calls these alone.

GO       ?= go
BIN      := bin/belfry
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null)
TOOL     := $(GO) tool -modfile=tools.mod
COVERED  := ./push/... ./actors/... ./store/...
COVERAGE := 80

# SQLite is C made into Go, on memory of its own: the race detector finds nothing in
# it that is ours, and without it there the actors' tests take a quarter of the time.
RACE     := GOFLAGS="$$GOFLAGS -gcflags=modernc.org/...=-race=false"

.DEFAULT_GOAL := help
.PHONY: help build run demo-apns test unit race memory torture soak browser cover lint fmt generate fuzz fuzz-short bench bench-check benchmarks deps clean

help: ## List the tasks
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build bin/belfry
	$(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o $(BIN) ./cmd/belfry

run: build ## Build and serve on http://127.0.0.1:8080, with a demo page
	$(BIN) serve

demo-apns: build ## Show an APNs push arriving, at a simulator on this machine
	.ci/demo-apns $(BIN)

test: deps lint race fuzz-short memory bench-check cover ## Everything: lint, unit, both stores, race, real browser, a little fuzzing, memory, every benchmark once, coverage

unit: ## The quick tests: no browser, no PostgreSQL needed
	BELFRY_SKIP_BROWSER=1 $(GO) test -short ./...

race: deps ## All tests under the race detector, both stores and the real browser included
	$(RACE) BELFRY_REQUIRE_POSTGRES=1 BELFRY_REQUIRE_FIREFOX=1 $(GO) test -race -timeout 20m ./...

browser: deps ## The end-to-end test alone: the real binary, a real Firefox
	BELFRY_REQUIRE_FIREFOX=1 $(GO) test -count 1 -v -run Browser ./cmd/belfry

memory: ## A million pending notifications in 300 MB, a page open on 100,000 users below 1 % of a core; not under the race detector
	$(GO) test -v -p 1 -run 'TestMemory|TestDebugPage_Costs' -timeout 10m ./api ./cmd/belfry

torture: deps ## Kill the program 200 times for each store, and thousands of random sequences; some ten minutes
	BELFRY_REQUIRE_POSTGRES=1 BELFRY_CRASH_KILLS=200 $(GO) test -count 1 -v -run TestCrash -timeout 60m ./cmd/belfry
	$(GO) test -count 1 -v -run TestProperty -timeout 60m ./actors -rapid.checks=3000

soak: ## Ten minutes of an APNs that ends its connections every second and fails now and then
	BELFRY_SOAK=10m $(GO) test -count 1 -v -run TestSoak -timeout 30m ./actors

cover: deps ## Coverage of push, actors and store; fails below 80 % in any of them
	BELFRY_REQUIRE_POSTGRES=1 .ci/coverage $(COVERAGE) push actors store

lint: ## gofmt, go vet, staticcheck
	@unformatted=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
		if [ -n "$$unformatted" ]; then echo "not gofmt'ed:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(TOOL) staticcheck ./...
	cd bench && $(GO) vet ./... && $(GO) tool -modfile=../tools.mod staticcheck ./...

fmt: ## Format the code
	gofmt -w $$(git ls-files -co --exclude-standard '*.go')

generate: ## Make the code that comes from api/openapi.yaml anew
	$(GO) generate ./...

fuzz: ## Fuzz every decoder for a short while
	.ci/fuzz 10s

fuzz-short: ## Fuzz every decoder for a second
	.ci/fuzz 1s

bench: deps ## Measure Belfry beside what one would use instead, in some seven minutes; writes docs/benchmarks.md
	cd bench && $(GO) run . --markdown ../docs/benchmarks.md

bench-check: deps ## See that every benchmark works, in a minute or two; its figures mean nothing
	cd bench && $(GO) run . --quick

benchmarks: ## Go's benchmarks beside the code, with allocations, for benchstat
	$(GO) test -run '^$$' -bench . -benchmem ./push/... ./store/... ./actors/...

deps: ## Install what the tests need and is absent: PostgreSQL's server, Firefox
	@.ci/deps

clean: ## Remove what was built
	rm -rf bin coverage
