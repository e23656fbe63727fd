# PGXS build of the extension. `make help` lists the targets.

EXTENSION = bert
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" bert.control)

MODULE_big = bert
SOURCES := $(sort $(wildcard src/*/*.c src/pg/*/*.c))
OBJS = $(SOURCES:.c=.o)

DATA = sql/bert--$(EXTVERSION).sql $(filter-out sql/bert--$(EXTVERSION).sql,$(wildcard sql/bert--*.sql))
REGRESS = $(patsubst sql/%.sql,%,$(sort $(wildcard sql/test_*.sql)))
REGRESS_OPTS = --inputdir=. --load-extension=bert --encoding=UTF8 --no-locale

# Libraries of the plain C layers; OpenBLAS is opened at run time.
LIBRARIES = -lutf8proc -ljansson -lm -lpthread -ldl

PG_CPPFLAGS = -Isrc
PG_CFLAGS = -std=gnu11 -fvisibility=hidden -O3 -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-declaration-after-statement
# The server exports a json_object of its own, and a shared jansson would call that instead of its own one. So the module has
# jansson linked in, its names hidden. Debian's archive is not position-independent in one place, a comparison with stdin
# that nothing here reaches: that name is pointed to a variable of ours (src/pg/bert.c).
SHLIB_LINK = $(subst -ljansson,build/libjansson.a,$(LIBRARIES)) -Wl,--exclude-libs,libjansson.a
EXTRA_CLEAN = sql/bert--$(EXTVERSION).sql build/unit build/fast build/bench build/parity build/fuzz build/libjansson.a

# No LLVM bitcode: nothing here gains from being inlined into queries, and it would need clang.
override with_llvm := no

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# PostgreSQL 18 was built with a newer gcc than Debian 12's, which does not know this one.
override CFLAGS := $(filter-out -Wmissing-variable-declarations,$(CFLAGS))

bert.so: build/libjansson.a

build/libjansson.a: $(shell $(CC) -print-file-name=libjansson.a)
	@mkdir -p build
	objcopy --redefine-sym stdin=bert_json_stdin $< $@

all: sql/bert--$(EXTVERSION).sql

sql/bert--$(EXTVERSION).sql: sql/bert.sql bert.control
	cp $< $@

# Every object depends on every header of ours: the project is small and this is never wrong.
$(OBJS): $(wildcard src/*/*.h src/pg/*/*.h)

# Bundled models go below the extension's share directory.
BUNDLED := $(sort $(shell find models -type f 2>/dev/null))
install: install-models
install-models:
	@for f in $(BUNDLED); do \
	  $(MKDIR_P) "$(DESTDIR)$(datadir)/extension/bert/$$(dirname $$f)" && \
	  $(INSTALL_DATA) $$f "$(DESTDIR)$(datadir)/extension/bert/$$f" || exit 1; done

# Unit programs: plain C, no PostgreSQL.
UNIT_CFLAGS ?= -O2 -g
CORE_SOURCES := $(sort $(filter-out src/pg/%,$(SOURCES)))
CORE_OBJECTS = $(CORE_SOURCES:%.c=build/unit/%.o)
UNIT_PROGRAMS = $(patsubst test/unit/%.c,build/unit/%,$(sort $(wildcard test/unit/test_*.c)))
PLAIN_CFLAGS = -std=gnu11 -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Isrc -Itest/unit $(UNIT_CFLAGS)

build/unit/%.o: %.c $(wildcard src/*/*.h test/unit/*.h)
	@mkdir -p $(@D)
	$(CC) $(PLAIN_CFLAGS) -c $< -o $@

build/unit/libbert.a: $(CORE_OBJECTS)
	@rm -f $@
	$(AR) rcs $@ $^

build/unit/test_%: build/unit/test/unit/test_%.o build/unit/libbert.a
	$(CC) $(PLAIN_CFLAGS) $^ -o $@ -lcmocka $(LIBRARIES)

# Benchmarks (bench/bench_*.c) and the programs that are compared with the reference (test/parity/*.c), optimised as
# the extension is: make build/bench/bench_tokenizer, make build/parity/tokenizer_driver.
FAST_OBJECTS = $(CORE_SOURCES:%.c=build/fast/%.o)
FAST_CFLAGS = $(subst $(UNIT_CFLAGS),-O3 -g,$(PLAIN_CFLAGS))

build/fast/%.o: %.c $(wildcard src/*/*.h src/pg/*/*.h)
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
FUZZ_CFLAGS = $(subst $(UNIT_CFLAGS),-O1 -g -fno-omit-frame-pointer,$(PLAIN_CFLAGS)) -fsanitize=address,undefined -fno-sanitize-recover=undefined
FUZZ_PROGRAMS = $(patsubst test/fuzz/%.c,build/fuzz/%,$(sort $(wildcard test/fuzz/fuzz_*.c)))
FUZZ_OBJECTS = $(CORE_SOURCES:%.c=build/fuzz/obj/%.o)

build/fuzz/obj/%.o: %.c $(wildcard src/*/*.h src/pg/*/*.h)
	@mkdir -p $(@D)
	$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link -c $< -o $@

build/fuzz/libbert.a: $(FUZZ_OBJECTS)
	@rm -f $@
	$(AR) rcs $@ $^

build/fuzz/fuzz_%: test/fuzz/fuzz_%.c build/fuzz/libbert.a
	$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer $^ -o $@ $(LIBRARIES)

fuzz: $(FUZZ_PROGRAMS)

.SECONDARY:

unit-programs: $(UNIT_PROGRAMS)

unit: unit-programs
	@set -e; for program in $(UNIT_PROGRAMS); do echo "# $$program"; $$program; done

format:
	@clang-format -i $(shell git ls-files 'src/*.[ch]' 'test/*.[ch]' 'bench/*.[ch]')

bench:
	bench/run

help:
	@echo "make | install | installcheck | unit | format | bench | clean"

.PHONY: unit unit-programs fuzz format bench help install-models
