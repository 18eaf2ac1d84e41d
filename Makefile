# make              the same as make build
# make test         everything, on SQLite, PostgreSQL and Redis; brings what it needs
# make check        formatting, vet, linters and the tests that need no service
# make bench        the benchmarks beside the code, on servers that do sync to the disk
# make loadtest     a server under load, on PostgreSQL and Redis (docs/performance.md)
# make simulate     attacks and a busy morning against the real policy, as a table
# make fuzz         every fuzz target for FUZZTIME
# make screenshots  every page into screenshots/, and the two pictures of the README
# make vuln         known vulnerabilities in what is called; needs vuln.go.dev

GO       ?= go
FUZZTIME ?= 20s
BENCH    ?= .

GOLANGCI    = $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
STATICCHECK = $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK = $(GO) run golang.org/x/vuln/cmd/govulncheck@v1.8.0

# Two test binaries at once: browsers and servers run beside them. What the race
# detector's compiler adds for unsafe pointers takes half of the time of SQLite,
# which is C in Go's clothes.
TESTFLAGS ?= -race -gcflags=modernc.org/sqlite/...=-d=checkptr=0 -shuffle=on -p 2 -timeout 15m

.PHONY: build test check fmt lint unit bench loadtest simulate fuzz screenshots vuln

build:
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./cmd/...

# The race detector needs cgo; the program itself does without. A checkout that
# belongs to another user has no version to stamp into the binaries under test.
test: export CGO_ENABLED = 1
test: export GOFLAGS := $(GOFLAGS) -buildvcs=false
test:
	scripts/testenv sh -c '$(GO) vet -race ./... && $(GO) test $(TESTFLAGS) ./...'

check: fmt lint unit

fmt:
	@unformatted=$$(gofmt -l cmd internal migrations web); \
	if [ -n "$$unformatted" ]; then echo "gofmt these files:"; echo "$$unformatted"; exit 1; fi

lint:
	$(GO) vet ./...
	$(STATICCHECK) ./...
	$(GOLANGCI) run ./...

unit:
	env -u DIALTONE_TEST_REQUIRE -u DIALTONE_TEST_POSTGRES -u DIALTONE_TEST_REDIS \
		-u DIALTONE_TEST_REDIS_SERVER -u DIALTONE_TEST_CHROMIUM -u DIALTONE_TEST_PYTHON \
		$(GO) test -shuffle=on -timeout 10m ./...

bench:
	DIALTONE_TEST_SYNC=on scripts/testenv $(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -p 1 ./...

loadtest:
	DIALTONE_TEST_SYNC=on scripts/testenv scripts/loadtest $(LOADFLAGS)

simulate:
	$(GO) test -run TestSimulate -count=1 -v ./internal/sms/simulate $(SIMFLAGS)

fuzz:
	@for dir in $$(grep -rl '^func Fuzz' --include='*_test.go' cmd internal web | xargs -r -n 1 dirname | sort -u); do \
		for target in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' $$dir/*_test.go | cut -d' ' -f2); do \
			echo "$$dir $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) ./$$dir || exit 1; \
		done; \
	done

screenshots:
	scripts/screenshots screenshots

vuln:
	$(GOVULNCHECK) ./...
