# make            lists the targets
# Needs Go. PostgreSQL, Redis, Python and Node.js are found or installed where a target wants them.

SHELL       := /bin/bash
.DEFAULT_GOAL := help
# One set of flags for builds and tests: another set would be a second build cache.
export GOFLAGS := -tags=nomsgpack $(filter-out -tags=%,$(GOFLAGS))
LDFLAGS     := -s -w
TOP         := $(CURDIR)
BIN         := $(TOP)/.bin
MODULES     := $(shell sed -n 's|^[[:space:]]*\./||p' go.work)

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

up: $(BIN)/pyairtable ## start everything in one process; Ctrl-C stops it
	$(BIN)/pyairtable up

down: $(BIN)/pyairtable ## stop what `pyairtable up -d` started
	$(BIN)/pyairtable down

.PHONY: $(BIN)/pyairtable
$(BIN)/pyairtable:
	cd pyairtable && go build -ldflags="$(LDFLAGS)" -o $@ ./cmd/pyairtable

build: $(BIN)/pyairtable ## build the one binary and each service's own into .bin/
	@for m in $(filter-out pkg pyairtable,$(MODULES)); do \
		echo "build $$m" && (cd $$m && go build -ldflags="$(LDFLAGS)" -o $(BIN)/$$m ./cmd/$$m) || exit 1; done

test: clients $(BIN)/versitygw ## every test, from nothing: starts private servers and stops them
	go run ./pkg/cmd/withinfra -- $(MAKE) --no-print-directory test-go

# Called by test, with the servers' addresses in the environment.
.PHONY: test-go
test-go:
	go vet work
	go test -race -timeout 20m $$(go list work | grep -v /pyairtable/e2e)
	go test -race -timeout 20m -count=1 ./pyairtable/e2e/...

clients: ## install the real Airtable clients that the end-to-end tests use
	./pyairtable/e2e/clients/install.sh

client-suites: clients ## what the clients' own tests expect, asked of the emulator, the base store and a connection
	set -o pipefail; go run ./pkg/cmd/withinfra -- go test ./pyairtable/e2e -count=1 -v -run 'TestClients_TheirOwnSuites|TestDropIn' | grep -E 'passed, |skipped |FAIL|^ok|_test.go'

kill-tour: ## kill -9 of services at 50 random moments of the tour: make kill-tour KILLS=50 SEED=1
	go run ./pkg/cmd/withinfra -- go test ./pyairtable/e2e -count=1 -v -timeout 60m -run TestKill9_TheTour -kills=$(or $(KILLS),50) -seed=$(or $(SEED),0)

lint: $(BIN)/golangci-lint modules ## linters, and each module on its own
	@for m in $(MODULES); do echo "lint $$m" && (cd $$m && $(BIN)/golangci-lint run ./...) || exit 1; done

modules: ## each module must build and be tidy without the workspace
	@for m in $(MODULES); do echo "module $$m" && (cd $$m && GOWORK=off go mod tidy -diff && GOWORK=off go build ./...) || exit 1; done

$(BIN)/golangci-lint: .ci/tools/go.mod
	cd .ci/tools && GOWORK=off GOFLAGS= go build -o $(BIN)/ tool

# A real S3 server, for the tests of the store of files.
$(BIN)/versitygw: .ci/s3/go.mod
	cd .ci/s3 && GOWORK=off GOFLAGS= go build -o $(BIN)/ tool

bench-gateway: ## CPU per proxied request beside nginx and the plain ReverseProxy
	./api-gateway/bench/bench.sh

bench-airtable: clients ## what the gateway makes of Airtable's limit, against its targets; some five minutes
	go run ./airtable-gateway/bench

bench-store: ## the base store at 1,000,000 records beside 10,000: medians and their ratios (some minutes)
	go run ./pkg/cmd/withinfra -- go test -C airtable-gateway ./internal/upstream/local -run '^$$' -bench Scale -benchtime 1x -timeout 30m -v

bench-formulas: ## filters in SQL beside the evaluator, pages with computed fields beside pages without
	go run ./pkg/cmd/withinfra -- go test -C airtable-gateway ./internal/upstream/local -run '^$$' -bench BenchmarkFilter -benchtime 20x -timeout 30m
	go run ./pkg/cmd/withinfra -- go test -C airtable-gateway ./internal/upstream/local -run '^$$' -bench BenchmarkPage -benchtime 500x -timeout 30m

newservice: ## make a service: make newservice NAME=quota-service PORT=8021
	go run ./pkg/cmd/newservice $(NAME) $(PORT)

clean: ## remove what was built (.run, the data, stays)
	rm -rf $(BIN)

.PHONY: help up down build test clients client-suites kill-tour lint modules bench-gateway bench-airtable bench-store bench-formulas newservice clean
