# Every target is also a plain command; see the scripts and what follows.
SHELL := /bin/bash
export PATH := $(CURDIR)/.tools/node_modules/.bin:$(PATH)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# The store compresses with the C library when there is a C compiler, which takes
# less processor time and memory than the one in Go; `make bench` tells. Either
# way the binary is static.
ifeq ($(shell command -v gcc),)
GOBUILD := CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)'
else
GOBUILD := CGO_ENABLED=1 go build -trimpath -tags netgo,osusergo \
	-ldflags '-s -w -X main.version=$(VERSION) -linkmode external -extldflags -static'
endif

.PHONY: help up build web test lint bench fmt clean

help: ## Say what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

up: ## Install what is missing, build, and watch this machine's network
	scripts/install run build
	$(MAKE) build
	bin/decoder up

build: web ## Build bin/decoder
	$(GOBUILD) -o bin/decoder ./cmd/decoder

web: web/dist/.built ## Build the browser UI

web/dist/.built: $(shell find web -type f -not -path '*/node_modules/*' -not -path '*/dist/*' 2>/dev/null)
	cd web && npm ci --silent --no-fund --no-audit && npm run --silent build
	touch $@

test: ## Install what the tests need and run them all
	scripts/install run build test
	scripts/test

lint: ## Check form and habits
	scripts/lint

bench: ## Measure against peers, side by side; BENCH="-short decode" for less
	scripts/install run build test bench
	$(MAKE) build
	cd test/bench && go run . $(BENCH)

fmt: ## Format
	gofmt -w cmd internal test web

clean: ## Remove what was built
	rm -rf bin .tools web/node_modules
	find web/dist -mindepth 1 ! -name placeholder.html -delete
