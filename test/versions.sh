#!/bin/bash
# The version in bert.control is the one that all files for packages name, and CHANGELOG.md has a
# section for it. Says what differs; the exit status is 0 when nothing does.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
version=$(sed -n "s/^default_version *= *'\(.*\)'/\1/p" bert.control)
differs=0

# same FILE VERSION...: each is there and is the version.
same() {
	local file=$1 found
	shift
	[ $# -gt 0 ] || { echo "$file: names no version"; differs=1; }
	for found in "$@"; do
		[ "$found" = "$version" ] || { echo "$file: $found, but bert.control says $version"; differs=1; }
	done
}

# shellcheck disable=SC2046
same META.json $(sed -n '/"meta-spec"/q; s/^ *"version": "\([^"]*\)",*$/\1/p' META.json)
# shellcheck disable=SC2046
same debian/changelog $(sed -n '1s/^[^(]*(\([^)]*\)).*/\1/p' debian/changelog)
# shellcheck disable=SC2046
same tools/packaging/bert.spec $(sed -n 's/^Version: *//p' tools/packaging/bert.spec)
# shellcheck disable=SC2046
same CHANGELOG.md $(sed -n 's/^## \([0-9.]*\).*/\1/p' CHANGELOG.md | head -n 1)

# The package of models has all of them.
for model in models/*/; do
	[ -f "${model}model.safetensors" ] || continue # how they are made
	grep -q "^${model%/} " debian/postgresql-bert-models.install ||
		{ echo "debian/postgresql-bert-models.install: no ${model%/}"; differs=1; }
done
exit "$differs"
