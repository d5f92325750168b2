# `make` lists the targets. Needed: Go, a C compiler, git. `make deps` adds the rest.
SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

GO          ?= go
FUZZTIME    ?= 20s
BENCH       ?= .
TESTTIMEOUT ?= 15m

# How many packages are tested at once: many a test waits, and leaves the processors to others. Those that take
# longest begin first, or the end would wait for them alone.
ATONCE    ?= 3
LONGFIRST := ./system_test/... ./cmd/... ./node/... ./api/... ./cell/... ./cluster/... ./...

LINT_VERSION := v2.15.0
LINT         := .bin/golangci-lint-$(LINT_VERSION)

# The API's contract: its style, and that it only grows.
BUF_VERSION := v1.75.0
BUF         := .bin/buf-$(BUF_VERSION)
PROTO       := api/proto

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -X main.version=$(VERSION)
# Beside what the C code's own directives ask for; cgo takes this one only from outside.
HARDEN  := -O2 -g $(if $(filter amd64,$(shell $(GO) env GOARCH)),-fcf-protection=full)
CGO_ROOM := github.com/pyisolate/pyisolate/cell/cpython

# Packages that do not reach the cgo room, neither themselves nor in their tests:
# the control plane, which must build without a C compiler. (cell/host reaches it
# only when cgo is on.)
PURE = CGO_ENABLED=0 $(GO) list -test -f '{{or .ForTest .ImportPath}} {{join .Deps " "}}' ./... | awk -v room=$(CGO_ROOM) ' \
	{ name = $$1; sub(/\.test$$/, "", name); all[name] = 1; if (index($$0, room)) cgo[name] = 1 } \
	END { for (name in all) if (!(name in cgo)) print name }' | sort

.PHONY: help deps build man fmt-check vet check test test-python wheel rules test-kernel test-hostile race bench fuzz lint contract generate hardened clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: $(LINT) $(BUF) ## install what is needed beyond Go and a C compiler (into .bin) and fetch the modules
	$(GO) mod download
	cd deploy/prometheus/check && $(GO) mod download

# Its own module graph, not ours: `go install pkg@version` ignores go.mod here.
$(LINT):
	@mkdir -p .bin
	GOBIN="$(CURDIR)/.bin" $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	@mv .bin/golangci-lint $@

$(BUF):
	@mkdir -p .bin
	GOBIN="$(CURDIR)/.bin" $(GO) install github.com/bufbuild/buf/cmd/buf@$(BUF_VERSION)
	@mv .bin/buf $@

build: ## build bin/pyisolate-node
	CGO_CFLAGS='$(HARDEN)' $(GO) build -trimpath -buildmode=pie -ldflags '$(LDFLAGS)' -o bin/pyisolate-node ./cmd/pyisolate-node

man: build ## write the manual pages into bin/man (SOURCE_DATE_EPOCH dates them)
	bin/pyisolate-node man bin/man

fmt-check: ## fail when a Go file is not formatted
	@files=$$(gofmt -l .); if [ -n "$$files" ]; then echo "not formatted (run gofmt -w):"; echo "$$files"; exit 1; fi

vet: ## go vet, and again without cgo for the control plane
	$(GO) vet ./...
	$(GO) vet -tags failpoints ./internal/failpoint
	@echo "CGO_ENABLED=0 go vet (control plane)"
	@packages=$$($(PURE)); CGO_ENABLED=0 $(GO) vet $$packages

lint: $(LINT) $(BUF) ## run golangci-lint, and buf on the API's contract
	$(LINT) run ./...
	$(LINT) run --build-tags failpoints ./internal/failpoint ./policystore
	$(BUF) lint $(PROTO)
	$(BUF) breaking $(PROTO) --against $(PROTO)/contract.binpb

contract: $(BUF) ## write what the API promises from now on into api/proto/contract.binpb
	$(BUF) build $(PROTO) --exclude-source-info -o $(PROTO)/contract.binpb

check: fmt-check vet lint ## what to run before a commit: format, vet, lint, fast tests
	$(GO) test -short -timeout $(TESTTIMEOUT) ./...

test: fmt-check vet lint ## everything: format, vet, lint, all tests, race detector, summary of skips, a kernel in QEMU
	@status=0; { \
		$(GO) test -json -p $(ATONCE) -timeout $(TESTTIMEOUT) $(LONGFIRST) || status=1; \
		$(GO) test -json -p $(ATONCE) -race -short -timeout $(TESTTIMEOUT) $(LONGFIRST) || status=1; \
		exit $$status; } | $(GO) run ./internal/testsummary
	@$(MAKE) rules
	@$(MAKE) test-python
	@tools/kernel-smoke $(GO)
	@$(MAKE) test-console

test-python: build ## the Python SDK's tests, with this machine's python3 and the one that cells run
	@tools/test-python bin/pyisolate-node

wheel: ## build the Python SDK's wheel and source distribution into bin/python
	@python3 python/backend/pyisolate_build.py bin/python

rules: ## test the alerts, rules and dashboard in deploy/ with Prometheus' own code
	cd deploy/prometheus/check && $(GO) test -count=1 ./... # what it reads is outside of its module

test-kernel: ## kernel tests, real cells and attacks on them under Debian kernels 6.1 and 6.12 in QEMU, with and without bpf in lsm=; writes docs/verifier-cost.md
	$(GO) run ./kernel/internal/vmtest/run $(VMFLAGS)

.PHONY: test-console console console-deps
test-console: build ## test the web console, in Chromium if there is one; skips with the reason what the machine lacks
	@tools/test-console

test-hostile: ## attack cells by every known technique, on each backend and stack of layers (docs/hostile-matrix.md)
	$(GO) test -count=1 -timeout $(TESTTIMEOUT) -run TestHostile ./system_test/hostile

.PHONY: test-cluster demo-cluster demo-migration bench-cluster
CHAOS ?= 5m
ROUNDS ?= 500
POINTS ?= 0
SEED  ?= 0
test-cluster: build ## clusters of real nodes that are cut off, stopped and killed, for CHAOS (5m), cells that are moved meanwhile, ROUNDS (500) times, and moves with something wrong at each failpoint (POINTS=N draws some); SEED=N draws the same again, NODES=5 takes more
	PYISOLATE_NODE=$(CURDIR)/bin/pyisolate-node $(GO) test -count=1 -v -timeout 0 ./system_test/cluster -chaos=$(CHAOS) -rounds=$(ROUNDS) -points=$(POINTS) -seed=$(SEED) -nodes=$(or $(NODES),3)
	$(GO) test -race -count=1 -timeout $(TESTTIMEOUT) ./cluster/... ./internal/netlab ./internal/fabrictest

demo-cluster: build ## three nodes, a cell on each, messages between all, a policy for all, and one node killed
	$(GO) run ./internal/fabrictest/run -program bin/pyisolate-node demo

demo-migration: build ## a cell that counts and chats while it is moved from node to node, twenty times, and one node is killed
	$(GO) run ./internal/fabrictest/run -program bin/pyisolate-node demo-migration

bench-cluster: build ## how fast three nodes are, beside what is asked of them (BENCHFLAGS=-strict fails when one is not; ROWS="migrate.1m migrate.100m" measures those)
	$(GO) run ./internal/fabrictest/run -program bin/pyisolate-node $(BENCHFLAGS) bench $(ROWS)

race: ## all tests under the race detector
	$(GO) test -race -timeout $(TESTTIMEOUT) ./...

bench: build ## run the benchmarks (BENCH=regexp chooses the Go ones)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./...
	bin/pyisolate-node bench
	@if command -v python3 >/dev/null; then PYISOLATE_NODE=bin/pyisolate-node python3 python/bench.py; else echo "no python3: the SDK is not measured"; fi

fuzz: ## run every fuzz target for FUZZTIME each (default 20s)
	@for pkg in $$($(GO) list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./...); do \
		for target in $$($(GO) test -list '^Fuzz' "$$pkg" | grep '^Fuzz' || true); do \
			echo "== $$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$pkg"; \
		done; \
	done

generate: ## regenerate generated code (protobuf code needs protoc)
	$(GO) generate ./...

console: console-deps ## build console/dist from console/web (needs Node.js and npm), and print its size
	npm --prefix console/web run --silent build

# What the lock file names, and nothing newer.
console-deps: console/web/node_modules/.package-lock.json

console/web/node_modules/.package-lock.json: console/web/package-lock.json
	npm --prefix console/web ci --ignore-scripts
	@touch $@

hardened: ## build bin/pyisolate-node-hardened with clang and CFI where the toolchain allows
	@GO='$(GO)' LDFLAGS='$(LDFLAGS)' tools/hardened bin/pyisolate-node-hardened

clean: ## remove what was built
	rm -rf bin .bin console/web/node_modules
