# PGXS build of the extension. `make help` lists the targets. Builds outside the source tree work:
# mkdir build; cd build; make -f ../Makefile; make -f ../Makefile install.

EXTENSION = bert

# Where this file lies, as PGXS finds it; everything that is a source is named from here.
SRCDIR := $(if $(VPATH),$(VPATH),$(patsubst %/,%,$(dir $(firstword $(MAKEFILE_LIST)))))
# sources PATTERN...: the files of the source tree that match, relative to it
sources = $(sort $(patsubst $(SRCDIR)/%,%,$(wildcard $(addprefix $(SRCDIR)/,$(1)))))

EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(SRCDIR)/bert.control)
SCRIPT = sql/bert--$(EXTVERSION).sql

MODULE_big = bert
SOURCES := $(call sources,src/*/*.c src/pg/*/*.c)
ALL_HEADERS := $(addprefix $(SRCDIR)/,$(call sources,src/*/*.h src/pg/*/*.h))
OBJS = $(SOURCES:.c=.o)
ifeq ($(SOURCES),)
$(error there are no sources in $(SRCDIR)/src)
endif
# make takes what is built in the source tree for its own, so that has to be clean.
ifneq ($(SRCDIR),.)
ifneq ($(call sources,bert.so src/*/*.o $(SCRIPT)),)
$(error $(SRCDIR) holds a build of its own: run make clean there first)
endif
endif
$(shell mkdir -p build sql $(sort $(dir $(OBJS))))

DATA = $(filter-out $(SCRIPT),$(call sources,sql/bert--*.sql))
DATA_built = $(SCRIPT)
REGRESS = $(patsubst sql/%.sql,%,$(call sources,sql/test_*.sql))
REGRESS_OPTS = --inputdir=$(SRCDIR) --load-extension=bert --encoding=UTF8 --no-locale

# Libraries of the plain C layers; OpenBLAS is opened at run time.
LIBRARIES = -lutf8proc -ljansson -lm -lpthread -ldl

PG_CPPFLAGS = -I$(SRCDIR)/src
OPTIMIZE = -O3
PG_CFLAGS = -std=gnu11 -fvisibility=hidden $(OPTIMIZE) -Wall -Wextra -Wno-unused-parameter \
	-Wno-sign-compare -Wno-declaration-after-statement
# The server exports a json_object of its own, and a shared jansson would call that instead of its
# own one. So the module has jansson linked in, its names hidden. Debian's archive is not
# position-independent in one place, a comparison with stdin that nothing here reaches: that name is
# pointed to a variable of ours (src/pg/bert.c).
SHLIB_LINK = $(subst -ljansson,build/libjansson.a,$(LIBRARIES)) -Wl,--exclude-libs,libjansson.a
EXTRA_CLEAN = build/unit build/fast build/bench build/parity build/fuzz build/random \
	build/libjansson.a

# No LLVM bitcode: nothing here gains from being inlined into queries, and it would need clang.
override with_llvm := no

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# PostgreSQL 18 was built with a newer gcc than Debian 12's, which does not know this one.
override CFLAGS := $(filter-out -Wmissing-variable-declarations,$(CFLAGS))

# Debugging information is fifteen times the code. `make install STRIP=no` installs it as well.
ifneq ($(STRIP),no)
INSTALL_SHLIB_OPTS += -s
endif

bert.so: build/libjansson.a

# jansson as an archive: Debian's libjansson-dev has one; elsewhere
# make JANSSON=/where/libjansson.a, built with ./configure --disable-shared CFLAGS='-O2 -fPIC'.
JANSSON ?= $(shell $(CC) -print-file-name=libjansson.a)

build/libjansson.a:
	@test -f "$(JANSSON)" || { echo "there is no libjansson.a: install libjansson-dev, or build" \
	  "jansson with -fPIC and name its archive with make JANSSON=/where/libjansson.a" >&2; exit 1; }
	objcopy --redefine-sym stdin=bert_json_stdin $(JANSSON) $@

$(SCRIPT): sql/bert.sql bert.control
	cp $< $@

# Every object depends on every header of ours: the project is small and this is never wrong.
$(OBJS): $(ALL_HEADERS)

# Bundled models go below the extension's share directory: all, or those that MODELS names
# (make install MODELS=minilm; MODELS=none). One that shares the blocks of another needs that too.
ALL_MODELS := $(patsubst models/%/config.json,%,$(call sources,models/*/config.json))
MODELS ?= $(ALL_MODELS)
CHOSEN_MODELS := $(filter-out none,$(MODELS))
encoder_of = $(shell sed -n 's/.*"encoder": *"\([^"]*\)".*/\1/p' \
	$(wildcard $(SRCDIR)/models/$(1)/bundle.json) /dev/null)
ifneq ($(filter-out $(ALL_MODELS),$(CHOSEN_MODELS)),)
$(error MODELS: there is no model $(filter-out $(ALL_MODELS),$(CHOSEN_MODELS)); \
	there are $(ALL_MODELS), or none)
endif
$(foreach model,$(CHOSEN_MODELS),$(if $(filter-out $(CHOSEN_MODELS),$(call encoder_of,$(model))),\
	$(error MODELS: $(model) needs $(call encoder_of,$(model)))))
BUNDLED := $(patsubst $(SRCDIR)/%,%,$(sort $(if $(CHOSEN_MODELS),$(shell \
	find $(addprefix $(SRCDIR)/models/,$(CHOSEN_MODELS)) -type f) $(SRCDIR)/models/README.md)))
install: install-models
install-models:
	@for f in $(BUNDLED); do \
	  to="$(DESTDIR)$(datadir)/extension/bert/$$f"; \
	  $(MKDIR_P) "$$(dirname "$$to")" && $(INSTALL_DATA) "$(SRCDIR)/$$f" "$$to" || exit 1; done

# What install-models has put there goes with `make uninstall`, and no other file.
uninstall: uninstall-models
uninstall-models:
	@cd "$(DESTDIR)$(datadir)/extension/bert" 2>/dev/null || exit 0; \
	  for f in $(BUNDLED); do rm -f "$$f"; done; cd .. && find bert -depth -type d -empty -delete

# Unit programs: plain C, no PostgreSQL.
UNIT_CFLAGS ?= -O2 -g
UNIT_HEADERS := $(ALL_HEADERS) $(addprefix $(SRCDIR)/,$(call sources,test/unit/*.h))
CORE_SOURCES := $(filter-out src/pg/%,$(SOURCES))
CORE_OBJECTS = $(CORE_SOURCES:%.c=build/unit/%.o)
UNIT_PROGRAMS = $(patsubst test/unit/%.c,build/unit/%,$(call sources,test/unit/test_*.c))
PLAIN_CFLAGS = -std=gnu11 -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-I$(SRCDIR)/src -I$(SRCDIR)/test/unit $(UNIT_CFLAGS)

build/unit/%.o: %.c $(UNIT_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(PLAIN_CFLAGS) -c $< -o $@

build/unit/libbert.a: $(CORE_OBJECTS)
	@rm -f $@
	$(AR) rcs $@ $^

build/unit/test_%: build/unit/test/unit/test_%.o build/unit/libbert.a
	$(CC) $(PLAIN_CFLAGS) $^ -o $@ -lcmocka $(LIBRARIES)

# Benchmarks (bench/bench_*.c) and the programs that are compared with the reference
# (test/parity/*.c), optimised as the extension is: make build/bench/bench_tokenizer,
# make build/parity/tokenizer_driver.
FAST_OBJECTS = $(CORE_SOURCES:%.c=build/fast/%.o)
FAST_CFLAGS = $(subst $(UNIT_CFLAGS),-O3 -g,$(PLAIN_CFLAGS))

build/fast/%.o: %.c $(ALL_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(FAST_CFLAGS) -c $< -o $@

build/fast/libbert.a: $(FAST_OBJECTS)
	@rm -f $@
	$(AR) rcs $@ $^

build/bench/%: bench/%.c build/fast/libbert.a
	@mkdir -p $(@D)
	$(CC) $(FAST_CFLAGS) $^ -o $@ $(LIBRARIES)

build/parity/%: test/parity/%.c build/fast/libbert.a
	@mkdir -p $(@D)
	$(CC) $(FAST_CFLAGS) $^ -o $@ $(LIBRARIES)

# Fuzz targets (test/fuzz/fuzz_*.c), see test/fuzz/README.md.
FUZZ_CC ?= clang
FUZZ_CFLAGS = $(subst $(UNIT_CFLAGS),-O1 -g -fno-omit-frame-pointer,$(PLAIN_CFLAGS)) \
	-fsanitize=address,undefined -fno-sanitize-recover=undefined
FUZZ_PROGRAMS = $(patsubst test/fuzz/%.c,build/fuzz/%,$(call sources,test/fuzz/fuzz_*.c))
FUZZ_OBJECTS = $(CORE_SOURCES:%.c=build/fuzz/obj/%.o)

build/fuzz/obj/%.o: %.c $(ALL_HEADERS)
	@mkdir -p $(@D)
	$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link -c $< -o $@

build/fuzz/libbert.a: $(FUZZ_OBJECTS)
	@rm -f $@
	$(AR) rcs $@ $^

build/fuzz/fuzz_%: test/fuzz/fuzz_%.c build/fuzz/libbert.a
	$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer $^ -o $@ $(LIBRARIES)

fuzz: $(FUZZ_PROGRAMS)

# The same targets without libFuzzer, by any compiler: make build/random/fuzz_composed.
RANDOM_CC ?= gcc
RANDOM_OBJECTS = $(CORE_SOURCES:%.c=build/random/obj/%.o)

build/random/obj/%.o: %.c $(ALL_HEADERS)
	@mkdir -p $(@D)
	$(RANDOM_CC) $(FUZZ_CFLAGS) -c $< -o $@

build/random/libbert.a: $(RANDOM_OBJECTS)
	@rm -f $@
	$(AR) rcs $@ $^

build/random/fuzz_%: test/fuzz/fuzz_%.c test/fuzz/random.c build/random/libbert.a
	$(RANDOM_CC) $(FUZZ_CFLAGS) $^ -o $@ $(LIBRARIES)

.SECONDARY:

unit-programs: $(UNIT_PROGRAMS)

unit: unit-programs
	@set -e; for program in $(UNIT_PROGRAMS); do echo "# $$program"; $$program; done

# The formatter's verdict is a check: `make format` changes nothing on a clean tree.
CLANG_FORMAT ?= clang-format-14
FORMATTED = $(addprefix $(SRCDIR)/,$(call sources,src/*/*.[ch] src/pg/*/*.[ch] \
	test/*/*.[ch] bench/*.[ch]))

format:
	@$(CLANG_FORMAT) -i $(FORMATTED)

check-format:
	@$(CLANG_FORMAT) --dry-run --Werror $(FORMATTED)

# One source at a time, each printing what the analyzer says of it; any report is an error.
ANALYZE_FLAGS = -std=gnu11 -D_GNU_SOURCE -I$(SRCDIR)/src -I$(includedir_server)
# How far the analyzer follows the paths of a function: clang's own limit; tools/test takes a tenth.
ANALYZE_NODES ?= 225000
ANALYZED = $(addprefix build/analyze/,$(filter-out %_tables.c,$(SOURCES)))
TIDY_CHECKS = -*,bugprone-*,-bugprone-easily-swappable-parameters,-bugprone-reserved-identifier,$\
	-bugprone-narrowing-conversions,-bugprone-implicit-widening-of-multiplication-result,$\
	-bugprone-macro-parentheses,-bugprone-sizeof-expression

build/analyze/%.c: %.c $(ALL_HEADERS)
	@mkdir -p $(@D)
	@clang-14 --analyze -Xclang -analyzer-werror --analyzer-output text -Wno-everything \
		-Xclang -analyzer-config -Xclang max-nodes=$(ANALYZE_NODES) $(ANALYZE_FLAGS) $<
	@clang-tidy-14 --quiet --checks='$(TIDY_CHECKS)' --warnings-as-errors='*' $< -- \
		$(ANALYZE_FLAGS) 2>/dev/null
	@touch $@

analyze: $(ANALYZED)

bench:
	$(SRCDIR)/bench/run

# The sources of the last commit as others get them, the same bytes each time, with what is in them.
DIST = build/dist/bert-$(EXTVERSION)

dist:
	@git -C $(SRCDIR) rev-parse --verify -q HEAD >/dev/null || \
	  { echo "make dist needs a clone of the repository" >&2; exit 1; }
	@rm -rf build/dist && mkdir -p build/dist
	git -C $(SRCDIR) archive --prefix=$(notdir $(DIST))/ HEAD | gzip -n -9 >$(DIST).tar.gz
	$(SRCDIR)/tools/packaging/sbom $(SRCDIR) $(DIST).tar.gz >$(DIST).spdx.json
	cd build/dist && sha256sum $(notdir $(DIST)).* >SHA256SUMS

help:
	@echo "make | install [STRIP=no] [MODELS='NAME ...' or none] | uninstall | installcheck | unit |" \
		"fuzz | format | check-format | analyze | bench | dist | clean"

.PHONY: unit unit-programs fuzz format check-format analyze bench dist help install-models \
	uninstall-models
