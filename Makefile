# A thin front for meson and the scripts in tools/. `make help` lists the targets.

BUILD ?= build
PREFIX ?= /usr/local
WERROR = $(if $(filter true,$(CI)),true,false)

.PHONY: all setup check lint demo install fmt bench fuzz fuzz-diff check-upstream torture clean help

all: $(BUILD)/build.ninja ## build build/firn and the links in build/bin/
	ninja -C $(BUILD) firn

$(BUILD)/build.ninja:
	meson setup $(BUILD) --buildtype=debugoptimized -Dprefix=$(PREFIX) -Dwerror=$(WERROR)

# The other compiler, so that both see every line.
build-asan/build.ninja:
	CC=clang meson setup build-asan -Doptimization=1 -Db_sanitize=address,undefined -Db_lundef=false -Dwerror=$(WERROR)

build-fuzz/build.ninja:
	CC=clang meson setup build-fuzz -Doptimization=1 -Dfuzz=true

setup: ## install what building and running need (Debian)
	tools/setup

check: ## run all tests, plain and with sanitizers; CHECK_ARGS goes to tools/check
	tools/setup --test
	$(MAKE) --no-print-directory $(BUILD)/build.ninja build-asan/build.ninja
	ninja -C $(BUILD)
	ninja -C build-asan
	@tools/check $(CHECK_ARGS) $(BUILD) build-asan

lint: ## check the rules that need no build
	tools/lint

demo: ## set up, build, and show what firn is for
	tools/setup --demo
	$(MAKE) --no-print-directory all
	examples/demo.sh

install: all ## install under PREFIX (DESTDIR is respected); with LINKS=1 also nix, nix-build, ...
	meson configure $(BUILD) -Dprefix=$(PREFIX)
	meson install -C $(BUILD) --no-rebuild --strip
	$(if $(filter 1,$(LINKS)),tools/link-commands . $(DESTDIR)$(PREFIX)/bin)

fmt: ## lay out all C files
	tools/lint --fix-format

bench: all ## measure against the budgets in ARCHITECTURE.md
	ninja -C $(BUILD) bench/measure
	bench/eval $(BUILD)

fuzz: build-fuzz/build.ninja ## build the fuzz targets: build-fuzz/test/fuzz/*_fuzz
	ninja -C build-fuzz

fuzz-diff: all ## random expressions through firn and the Nix on PATH: COUNT=1000 SEED=.. ORACLE="chroot DIR"
	tools/fuzz-diff $(if $(COUNT),--count $(COUNT)) $(if $(SEED),--seed $(SEED)) $(if $(ORACLE),--oracle "$(ORACLE)") $(BUILD)

check-upstream: all ## run the functional tests of a C++ Nix checkout: DIR=.../tests/functional
	tools/check-upstream $(BUILD) $(DIR)
	tools/check-functional $(BUILD) $(DIR)

torture: all ## hours of bad luck for the store in a few minutes: power failures, killed processes, many at once
	ninja -C $(BUILD)
	for t in power_loss store_crash store_torture; do FIRN_TORTURE=1 $(BUILD)/test/$${t}_test || exit 1; done

clean: ## remove the build folders
	rm -rf $(BUILD) build-asan build-fuzz

help: ## this list
	@sed -n 's/^\([a-z-]*\):.* ## /\1\t/p' Makefile | expand -t 16
