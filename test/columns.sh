#!/bin/bash
# Lines of code and prose have at most 100 characters. Left out: what programs have written
# (expected results, golden files, files that say so, output shown in documents), tables of
# documents, and lines with an address in them.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

prose=(*.md docs src test bench models tools)
code=(Makefile src test tools bench sql/bert.sql sql/test_*.sql)

# too_long [FILE...]: in bytes but for those that go on with a character.
too_long() {
	LC_ALL=C xargs -0r awk '
		FNR == 1 { output = 0; generated = 0; markdown = FILENAME ~ /\.md$/ }
		markdown && /^```/ { output = output ? 0 : /^``` *$/ ? 1 : 2; next }
		markdown && (output == 1 || /^\|/ || (!output && /^    /)) { next }
		FNR <= 3 && /: written by .*\.py/ { generated = 1 }
		generated || /:\/\// { next }
		{ line = $0; gsub(/[\200-\277]/, "", line) }
		length(line) > 100 { printf "%s:%d: %d characters\n", FILENAME, FNR, length(line); bad = 1 }
		END { exit bad }'
}

status=0
find "${prose[@]}" -name '*.md' -print0 | too_long || status=1
# Programs and scripts: all that is text.
find "${code[@]}" -type d -name golden -prune -o -type f ! -name '*.md' \
	! -name '*.o' ! -name '*.bc' -print0 |
	xargs -0r grep -IlZE '.' | too_long || status=1
exit $status
