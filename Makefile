# SPDX-License-Identifier: Apache-2.0
#
# make            build/tollgate and build/libtollgate.a
# make run        install what is missing, build, start a development gateway (PORT=8080)
# make run-reset  forget that gateway's data
# make test       install what is missing, build, run every suite (SUITES="unit sql": only those)
# make check      the unit tests only
# make lint       format, layers, banned calls, sizes, static analysis, documents
# make fuzz       every fuzzer for TIME=60 seconds
# make valgrind   the unit tests and a short session, built without sanitizers, under valgrind
# make bench      what has a promised price, measured on the release build
# make spread     the end-to-end tests, all on two gateways at once, and a report
# make campaign   faults in full and all of that, about an hour (SCENARIO=name: only that one)
# make deps       only install what run and test need (deps-run: what run needs)
# make install    into $(DESTDIR)$(PREFIX), PREFIX=/usr/local
# make clean      remove build/
#
# V=1 shows the commands. CC=clang builds the program with clang.

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all build deps deps-run deps-test run run-reset install clean FORCE
.PHONY: test check lint fuzz valgrind bench spread campaign
MAKEFLAGS += --no-builtin-rules --no-print-directory --jobs=$(shell nproc)

ifeq ($(origin CC),default)
CC := gcc
endif
CLANG ?= clang
PREFIX ?= /usr/local
PORT ?= 8080
TIME ?= 60
Q := $(if $(V),,@)

# --- what there is to build -------------------------------------------------------------------

FOLDERS := base tokenstore audit oauth gateway/core gateway/upstream gateway/http gateway/app
MAIN := gateway/app/main.c
SRC := $(filter-out $(MAIN),$(wildcard $(FOLDERS:%=%/*.c))) build/gen/migrations.c \
       build/gen/web.c
RECYCLE := tests/fakes/h2o_recycle.c
FAKES := $(filter-out $(RECYCLE),$(wildcard tests/fakes/*.c))
UNIT_SRC := $(wildcard tests/unit/*/test_*.c tests/unit/*/*/test_*.c)
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
CLI_SRC := $(wildcard tests/fuzz/*_cli.c)
BENCH_SRC := $(wildcard tests/bench/bench_*.c)

# Objects come in four flavours: obj for release, san with ASan and UBSan, val for valgrind, fuzz
# with clang.
obj = $(patsubst %.c,build/obj/%.o,$(1))
san = $(patsubst %.c,build/san/%.o,$(1))
val = $(patsubst %.c,build/val/%.o,$(1))
fuz = $(patsubst %.c,build/fuzz/%.o,$(1))

UNIT := $(UNIT_SRC:%.c=build/san/%)
UNIT_VAL := $(UNIT_SRC:%.c=build/val/%)
CLIS := $(CLI_SRC:%.c=build/san/%)
FUZZERS := $(FUZZ_SRC:tests/fuzz/%.c=build/fuzz/%)
BENCHES := $(BENCH_SRC:tests/bench/%.c=build/bench/%)
BENCH_FAKES := tests/fakes/pg.c
OBJECTS := $(call obj,$(SRC) $(MAIN) $(BENCH_SRC) $(BENCH_FAKES)) $(call fuz,$(SRC) $(FUZZ_SRC)) \
	   $(call san,$(SRC) $(MAIN) $(RECYCLE) $(FAKES) $(UNIT_SRC) $(CLI_SRC)) \
	   $(call val,$(SRC) $(RECYCLE) $(FAKES) $(UNIT_SRC))

# What the program prints of itself.
PAGES := build/man/tollgate.1 build/man/tollgate.yaml.5
COMPLETIONS := build/completion/bash build/completion/zsh build/completion/fish

# --- flags ------------------------------------------------------------------------------------

PACKAGES := libh2o-evloop libcurl libpq jansson openssl yaml-0.1
# Asked when the first recipe needs them, because `make run` may have to install them before.
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(patsubst -I%,-isystem %,$$(call pkg,--cflags)) -DH2O_USE_LIBUV=0)$(PKG_CFLAGS)
PKG_LIBS = $(eval PKG_LIBS := $$(call pkg,--libs) -lpthread -lm)$(PKG_LIBS)
pkg = $(or $(shell pkg-config $(1) $(PACKAGES) 2>/dev/null),$(error libraries are missing. $(shell .ci/deps.sh line)))

COMMON = -std=gnu11 -D_GNU_SOURCE -I. -Ibuild/gen $(PKG_CFLAGS) -g -pthread
WARN := -Werror -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wvla -Wundef -Wformat=2 -Wformat-security -Wpointer-arith -Wwrite-strings

is_clang := $(findstring clang,$(shell $(CC) --version 2>/dev/null))
arch := $(shell uname -m)
HARDEN := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong \
	  -fstack-clash-protection -fno-strict-overflow -fno-delete-null-pointer-checks -fPIE \
	  $(if $(filter x86_64,$(arch)),-fcf-protection=full) \
	  $(if $(filter aarch64,$(arch)),-mbranch-protection=standard) \
	  $(if $(is_clang),,-ftrivial-auto-var-init=zero)
RELEASE = $(COMMON) $(WARN) -O2 $(HARDEN) $(CFLAGS)
RELEASE_LINK = -pie -Wl,-z,relro,-z,now,-z,noexecstack $(LDFLAGS)

SANITIZE := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
SAN = $(COMMON) $(WARN) $(SANITIZE)
# As little as possible inlined, and no fortified calls: a test may replace write() by its own.
VAL = $(COMMON) $(WARN) -O1 -fno-omit-frame-pointer
FUZZ = $(COMMON) $(WARN) $(SANITIZE) -fsanitize=fuzzer-no-link

# --- build ------------------------------------------------------------------------------------

all: build
build: build/tollgate $(PAGES) $(COMPLETIONS)

# run and test install what is missing before they compile; everything else takes what is there.
FIRST := $(if $(filter test deps,$(MAKECMDGOALS)),deps-test,$(if $(filter run,$(MAKECMDGOALS)),deps-run))

build/gen/migrations.c: migrations/embed.sh $(wildcard migrations/*.sql)
	@mkdir -p $(@D)
	$(Q)migrations/embed.sh $@ $(sort $(filter %.sql,$^))

build/gen/web.c: web/embed.sh $(wildcard web/*.html web/*.css web/*.js)
	@mkdir -p $(@D)
	$(Q)web/embed.sh $@ $(sort $(filter-out %.sh,$^))

# Rewritten only when the version changed, so that it rebuilds nothing otherwise.
build/gen/version.h: FORCE
	@mkdir -p $(@D)
	@version=$$(git -c safe.directory='*' describe --tags --match 'v[0-9]*' 2>/dev/null || cat VERSION); \
	printf '/* Generated. */\n#define TOLLGATE_VERSION "%s"\n' "$${version#v}" > $@.new; \
	if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

$(OBJECTS): Makefile | build/gen/version.h $(FIRST)

build/obj/%.o: %.c
	@mkdir -p $(@D)
	@$(if $(V),,echo "  CC      $<")
	$(Q)$(CC) $(RELEASE) -MMD -MP -c -o $@ $<

build/san/%.o: %.c
	@mkdir -p $(@D)
	@$(if $(V),,echo "  CC san  $<")
	$(Q)$(CC) $(SAN) -MMD -MP -c -o $@ $<

build/val/%.o: %.c
	@mkdir -p $(@D)
	@$(if $(V),,echo "  CC val  $<")
	$(Q)$(CC) $(VAL) -MMD -MP -c -o $@ $<

build/fuzz/%.o: %.c
	@mkdir -p $(@D)
	@$(if $(V),,echo "  CC fuzz $<")
	$(Q)$(CLANG) $(FUZZ) -MMD -MP -c -o $@ $<

# An archive is made anew: a member whose source is gone must not linger.
archive = mkdir -p $(@D) && rm -f $@ && ar rcs $@ $^
build/libtollgate.a: $(call obj,$(SRC))
	$(Q)$(archive)
build/san/libtollgate.a: $(call san,$(SRC))
	$(Q)$(archive)
build/san/libfakes.a: $(call san,$(FAKES))
	$(Q)$(archive)
build/val/libtollgate.a: $(call val,$(SRC))
	$(Q)$(archive)
build/val/libfakes.a: $(call val,$(FAKES))
	$(Q)$(archive)
build/fuzz/libtollgate.a: $(call fuz,$(SRC))
	$(Q)$(archive)

build/tollgate: $(call obj,$(MAIN)) build/libtollgate.a
	@$(if $(V),,echo "  LINK    $@")
	$(Q)$(CC) $(RELEASE) $(RELEASE_LINK) -o $@ $^ $(PKG_LIBS)

$(PAGES): build/tollgate
	@mkdir -p $(@D)
	$(Q)build/tollgate help --man $(@F) > $@

$(COMPLETIONS): build/tollgate
	@mkdir -p $(@D)
	$(Q)build/tollgate completion $(@F) > $@

# The recycler stands first: it must win over the one in libh2o (see its file).
build/san/tollgate: $(call san,$(MAIN) $(RECYCLE)) build/san/libtollgate.a
	@$(if $(V),,echo "  LINK    $@")
	$(Q)$(CC) $(SANITIZE) -o $@ $^ $(PKG_LIBS)

# A unit test links, in this order: itself, the file it mirrors, what its line `LINK: …` says,
# fakes for what is still missing, and the rest of the library. A *_cli is a program that a test
# in another language drives.
# Both are told the flavour and the program.
mirrored = $(call $(1),$(wildcard $(subst /test_,/,$(patsubst build/$(1)/tests/unit/%,%.c,$(filter build/$(1)/tests/unit/%,$(2))))))
link_line = $(shell sed -n 's|.*/\* LINK: \(.*\) \*/.*|\1|p' $(2:build/$(1)/%=%.c))
link_test = $(CC) $(if $(filter san,$(1)),$(SANITIZE)) -o $@ $(filter %.o,$^) \
	$(call mirrored,$(1),$@) $(call link_line,$(1),$@) \
	-Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(PKG_LIBS) -lcmocka
$(UNIT) $(CLIS): %: %.o $(call san,$(RECYCLE)) build/san/libfakes.a build/san/libtollgate.a
	@$(if $(V),,echo "  LINK    $@")
	$(Q)$(call link_test,san)

$(UNIT_VAL): %: %.o $(call val,$(RECYCLE)) build/val/libfakes.a build/val/libtollgate.a
	@$(if $(V),,echo "  LINK    $@")
	$(Q)$(call link_test,val)

$(FUZZERS): build/fuzz/%: build/fuzz/tests/fuzz/%.o build/fuzz/libtollgate.a
	@$(if $(V),,echo "  LINK    $@")
	$(Q)$(CLANG) $(SANITIZE) -fsanitize=fuzzer -o $@ $^ $(PKG_LIBS)

$(BENCHES): build/bench/%: build/obj/tests/bench/%.o $(call obj,$(BENCH_FAKES)) build/libtollgate.a
	@mkdir -p $(@D)
	@$(if $(V),,echo "  LINK    $@")
	$(Q)$(CC) $(RELEASE) $(RELEASE_LINK) -o $@ $^ $(PKG_LIBS)

# What the fault tests load into a gateway that runs.
PRELOAD := build/fault/preload.so
$(PRELOAD): tests/fault/preload.c Makefile
	@mkdir -p $(@D)
	@$(if $(V),,echo "  CC      $@")
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE $(WARN) -O2 -g -fPIC -shared -o $@ $< -ldl

-include $(OBJECTS:.o=.d)

# --- run, test, install -----------------------------------------------------------------------

deps: deps-run deps-test
deps-run:
	@.ci/deps.sh run
deps-test: deps-run
	@.ci/deps.sh test

run: build/tollgate
	@exec build/tollgate dev --dir .run --port $(PORT)

run-reset: build/tollgate
	@exec build/tollgate dev --dir .run --reset

# What the static checks compile with. Stands in the recipes: a target's exported variable would be
# expanded for its prerequisites too, and so before they have installed the libraries.
lint_cflags = LINT_CFLAGS='$(COMMON) $(WARN)'

test: build build/san/tollgate $(UNIT) $(CLIS) $(FUZZERS) $(PRELOAD)
	@$(lint_cflags) tests/run.sh $(SUITES)

check: $(UNIT)
	@tests/run.sh unit

lint: build
	@$(lint_cflags) tests/lint/run.sh

fuzz: $(FUZZERS)
	@for f in $^; do tests/fuzz/run.sh $$f -max_total_time=$(TIME) || exit 1; done

# What runs longer there than among the unit tests.
CAMPAIGN_UNIT := build/san/tests/unit/audit/test_ledger_power build/san/tests/unit/audit/test_book_faults

valgrind: build $(UNIT_VAL)
	@tests/valgrind.sh $(UNIT_VAL)

bench: build $(BENCHES)
	@tests/bench/run.sh $(BENCHES)

spread: build
	@TOLLGATE_E2E_BINARY=$(CURDIR)/build/tollgate tests/e2e/spread.sh

campaign: build $(PRELOAD) $(CAMPAIGN_UNIT) $(if $(SCENARIO),,$(UNIT_VAL))
	@SCENARIO=$(SCENARIO) tests/fault/campaign.sh $(if $(SCENARIO),,$(UNIT_VAL))

install: build
	install -D -m 0755 build/tollgate $(DESTDIR)$(PREFIX)/bin/tollgate
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/tollgate README.md LICENSE
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|@bindir@|$(PREFIX)/bin|' packaging/systemd/tollgate.service \
		> $(DESTDIR)$(PREFIX)/lib/systemd/system/tollgate.service
	chmod 0644 $(DESTDIR)$(PREFIX)/lib/systemd/system/tollgate.service
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/tollgate/grafana/dashboards \
		packaging/grafana/dashboards/tollgate.json
	install -D -m 0644 packaging/grafana/provisioning/datasources/tollgate.yaml \
		$(DESTDIR)$(PREFIX)/share/tollgate/grafana/provisioning/datasources/tollgate.yaml
	install -D -m 0644 packaging/grafana/provisioning/dashboards/tollgate.yaml \
		$(DESTDIR)$(PREFIX)/share/tollgate/grafana/provisioning/dashboards/tollgate.yaml
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/man/man1 build/man/tollgate.1
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/man/man5 build/man/tollgate.yaml.5
	install -D -m 0644 build/completion/bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/tollgate
	install -D -m 0644 build/completion/zsh \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_tollgate
	install -D -m 0644 build/completion/fish \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/tollgate.fish

clean:
	rm -rf build
