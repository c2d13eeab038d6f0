# SPDX-License-Identifier: MIT
# A thin door to meson. `make` builds a release in build/release; warnings are
# errors in the debug build only, which is the one that CI judges.

RELEASE = build/release
DEBUG = build/debug
MESON ?= meson
DESTDIR ?=
PREFIX ?= /usr/local

.PHONY: all deps demo test test-long bench clean install format

all: deps
	@tools/build.sh $(RELEASE) --buildtype=release -Db_lto=true -Dwerror=false \
		--prefix=$(PREFIX) -Dtests=false

deps:
	@tools/install-deps.sh

demo: all
	@tools/demo.sh $(RELEASE)/src/cli/uext4

test: deps
	@tools/build.sh $(DEBUG) --buildtype=debugoptimized
	@tools/run-tests.py $(DEBUG)

# Hours, not minutes: more states of power cuts, more seeds.
test-long: deps
	@tools/build.sh $(DEBUG) --buildtype=debugoptimized
	@tools/run-tests.py $(DEBUG) --suite long

# ARGS="--jobs append4k --compare dio-extend" and the like go to the command. Five
# targets of this size and time take about as long as three with the command's
# defaults, and as much memory.
BENCH = --targets raw,engine,kernel,mount,fuse2fs --size 1G --seconds 0.5
bench: all
	@tools/install-deps.sh --bench
	@$(RELEASE)/src/cli/uext4 bench $(BENCH) \
		--plot $(RELEASE)/bench.png $(ARGS)
	@echo "bench: the bars are in $(RELEASE)/bench.png" >&2

install: all
	DESTDIR="$(DESTDIR)" $(MESON) install -C $(RELEASE) --no-rebuild

format:
	@tools/format.sh

clean:
	rm -rf build
