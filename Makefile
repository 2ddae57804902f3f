# SPDX-License-Identifier: GPL-2.0-or-later
#
# A thin front for Meson.  Every target does its own set-up: packages (only those missing), configuration, build.
#
#   make                      the programs: build/serai, build/serai-vmx
#   make run                  boot Debian's kernel to a shell on this terminal
#   make test                 build and run every test
#   make check-cpu CASES=N SEED=S    the interpreter against this machine's processor; BLOCKS=1: blocks with branches
#                                    instead of single instructions; ENGINE=bt: the translator
#   make tsan                boot with four vCPUs under ThreadSanitizer, both engines (a few minutes)
#   make bench BENCH='--engine bt --rounds 3'    native, Serai and QEMU's TCG compared (bench/README.md)
#   make install PREFIX=DIR   programs into DIR/bin (DESTDIR is honoured)
#   make clean                remove everything built; guests and their downloads stay (make distclean)

B      := build
FUZZ   := build-fuzz
TSAN   := build-tsan
PREFIX ?= /usr/local
CASES  ?= 10000000
SEED   ?= 1
ENGINE ?= interp
BENCH  ?=

# Across files gcc finds some per cent more; clang would need another linker.  Fat, so that tools/check-layers sees objects.
OPTIONS := $(if $(findstring clang,$(CC)),,-Db_lto=true -Dc_args=-ffat-lto-objects)
# Sanitizers, coverage for libFuzzer; an assertion that fails must show.
FUZZ_OPTIONS := -Db_sanitize=address,undefined -Db_lundef=false -Dbuildtype=debugoptimized \
	-Dc_args=-fsanitize=fuzzer-no-link -Dc_link_args=-fsanitize=fuzzer-no-link

# Fences are unknown to it, which the compiler would make an error.
TSAN_OPTIONS_BUILD := -Db_sanitize=thread -Db_lundef=false -Dc_args=-Wno-tsan

all: setup-build $(B)/build.ninja
	@tools/build $(B)

run: all
	@tools/guest/make amd64
	@tools/run-shell $(B)

test: setup-test $(B)/build.ninja $(FUZZ)/build.ninja
	@tools/build $(B)
	@tools/build $(FUZZ)
	@tools/guest/make
	@python3 tools/run-tests $(B) $(FUZZ)

check-cpu: all
	@tools/check-cpu $(B) $(CASES) $(SEED) --engine $(ENGINE) $(if $(BLOCKS),--blocks)

tsan: setup-test $(TSAN)/build.ninja
	@ninja -C $(TSAN) cli/serai monitor/machine/serai-vmx >/dev/null
	@tools/guest/make amd64
	@tools/tsan $(TSAN)

bench: all
	@ninja -C $(B) bench/serai-bench >/dev/null
	@tools/guest/make cloud
	@bench/run --build $(B) $(BENCH)

install: all
	@meson configure $(B) -Dprefix=$(abspath $(PREFIX))
	@meson install -C $(B) --quiet

setup-build:
	@tools/setup build

setup-test:
	@tools/setup build test

$(B)/build.ninja: | setup-build
	@meson setup $(B) $(OPTIONS) >/dev/null || { meson setup $(B) $(OPTIONS); exit 1; }

$(FUZZ)/build.ninja: | setup-test
	@CC=clang meson setup $(FUZZ) $(FUZZ_OPTIONS) >/dev/null || { CC=clang meson setup $(FUZZ); exit 1; }

$(TSAN)/build.ninja: | setup-test
	@meson setup $(TSAN) $(TSAN_OPTIONS_BUILD) >/dev/null || { meson setup $(TSAN) $(TSAN_OPTIONS_BUILD); exit 1; }

clean:
	@if [ -d $(B) ]; then find $(B) -mindepth 1 -maxdepth 1 ! -name guests -exec rm -rf {} +; fi
	@rm -rf $(FUZZ) $(TSAN)

distclean:
	@rm -rf $(B) $(FUZZ) $(TSAN)

.PHONY: all run test check-cpu tsan bench install clean distclean setup-build setup-test
