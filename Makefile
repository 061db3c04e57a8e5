# throttlerd. `make` shows the targets.

GO      ?= go
PREFIX  ?= /usr/local
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# The race detector needs a C compiler; without one the tests run without it.
CC_FOUND := $(shell command -v "$$($(GO) env CC)" 2>/dev/null)
RACE     := $(if $(CC_FOUND),-race)

# TESTFLAGS='-race -timeout 14m -run TestBucket' for a part of the tests.
TESTFLAGS ?= $(RACE) -timeout 14m

LDFLAGS := -s -w -X main.version=$(VERSION)
BUILD   := $(GO) build -trimpath -ldflags '$(LDFLAGS)'

# Scenarios of docs/guarantees.md that are not in tests/faults.
FAULTS := ^Test(WorkerKilled|PluginStopped|SecondSignalHurries|DrainTimeoutHandsOver|DrainedTaskGoesFirst|RedisForgetsAndCuts|NothingStartsWithoutRedis|ClocksOfClientsDoNotCount|Reload.*|SubmitRefuses|CtlRefuses)$$

.DEFAULT_GOAL := help
.PHONY: help build install demo test long programs faults faults-long mutants check bench benchstat generate fmt cover clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build bin/throttlerd, bin/throttlectl and bin/plugins/
	@mkdir -p bin/plugins
	$(BUILD) -o bin/throttlerd ./cmd/throttlerd
	$(BUILD) -o bin/throttlectl ./cmd/throttlectl
	$(BUILD) -o bin/plugins/echo ./plugins/echo
	$(BUILD) -o bin/plugins/webhook ./plugins/webhook

install: build ## Install both commands into PREFIX/bin, plugins beside them
	install -d '$(DESTDIR)$(PREFIX)/bin/plugins'
	install -m 755 bin/throttlerd bin/throttlectl '$(DESTDIR)$(PREFIX)/bin/'
	install -m 755 bin/plugins/echo bin/plugins/webhook '$(DESTDIR)$(PREFIX)/bin/plugins/'

demo: build ## Watch 30 tasks start at 10/1s:5, checked against the limit
	@$(GO) run ./tests/demo

test: programs ## Run all tests, on a real redis-server
	@$(if $(RACE),,echo "test: no C compiler, so the race detector is off")
	$(GO) test $(TESTFLAGS) ./...

long: programs ## Run the long versions of some tests: a million lines, 400 sets of limits, 50 kills
	THROTTLE_LONG=1 $(GO) test -count=1 -timeout 60m -v -run 'ManyLines|ThousandASecond|RandomSetsHold|ContendedCaps|CapsThroughKills|LimitSharedByManyQueues|RandomSetsUnderThreeWorkers' ./cmd/throttlectl ./scheduler ./tests/blackbox

programs: ## Find redis-server, redis-cli, tmux, node and npm for the tests, or install them
	@scripts/programs

faults: programs ## Break workers, plugins, Redis and the network, 3 minutes (THROTTLE_SEED repeats)
	$(GO) test -count=1 -timeout 14m -v ./tests/faults/...
	$(GO) test -count=1 -timeout 14m -v -run '$(FAULTS)' ./tests/blackbox ./scheduler

faults-long: programs ## The same for longer: storms for THROTTLE_BUDGET (10m), a million tasks
	THROTTLE_LONG=1 $(GO) test -count=1 -timeout 3h -parallel 1 -v ./tests/faults/...

mutants: programs ## Put one defect at a time into the engine; some test must notice each
	THROTTLE_LONG=1 $(GO) test -count=1 -timeout 3h -v ./tests/mutants

check: ## Format, vet, staticcheck, import borders, generated code (edits nothing)
	@GO='$(GO)' scripts/check

bench: build programs ## Measure beside asynq, BullMQ and limiters (needs npm); writes docs/benchmarks.md
	@$(GO) test -C tests/bench -tags bench -count=1 -timeout 60m

benchstat: programs ## Compare hot functions of two commits: OLD=REV, NEW=REV (HEAD), BENCH, COUNT, BENCHTIME
	@GO='$(GO)' scripts/benchstat '$(OLD)' '$(or $(NEW),HEAD)'

generate: ## Write the generated code of the plugin protocol
	$(GO) -C tools run ./protogen

fmt: ## Format Go code and the example configuration
	gofmt -w .
	$(GO) run ./cmd/throttlerd fmt config.hcl.example

cover: programs ## Run all tests with coverage, into cover.html
	$(GO) test -timeout 14m -coverpkg=./... -coverprofile=cover.out ./...
	$(GO) tool cover -html=cover.out -o cover.html
	@$(GO) tool cover -func=cover.out | tail -n 1

clean: ## Remove what was built
	rm -rf bin cover.out cover.html
