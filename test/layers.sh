#!/bin/bash
# A layer includes only itself and what lies below; only src/pg sees postgres.h, only src/kernels
# intrinsics, but for the hash that layers below it need. Within src/pg a floor includes only itself
# and the floors below; job and column lie side by side and never include each other. Arguments that
# may be large are read interruptibly.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
shopt -s nullglob

layers=(core files tokenizer kernels nn train pg)
floors=(server model infer column job)
top=(bert.c launcher.c launcher.h owned.c)
status=0

complain() {
	printf '%s\n' "$1"
	status=1
}

# one_of WORD LIST...
one_of() {
	local word=$1
	shift
	[[ " $* " == *" $word "* ]]
}

# quoted_includes FILE...: "file:line:target" of every include in quotes.
quoted_includes() {
	grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' "$@" /dev/null |
		sed -E 's/^([^:]*:[0-9]+):[^"]*"([^"]*)".*/\1:\2/'
}

# check_layer NAME ALLOWED: ALLOWED are this layer and those below.
check_layer() {
	local layer=$1 allowed=$2 file line target
	while IFS=: read -r file line target; do
		one_of "${target%%/*}" $allowed && [[ $target != *..* ]] && continue
		# src/pg also takes PostgreSQL's headers.
		[ "$layer" = pg ] && ! one_of "${target%%/*}" "${layers[@]}" && [[ $target != *..* ]] && continue
		complain "$file:$line: $layer includes $target"
	done < <(quoted_includes $(find "src/$layer" -name '*.[ch]'))
}

# check_floor NAME ALLOWED: includes of src/pg/NAME.
check_floor() {
	local floor=$1 allowed=$2 file line target name
	while IFS=: read -r file line target; do
		[[ $target == pg/* ]] || continue
		name=${target#pg/}
		[[ $name == */* ]] && one_of "${name%%/*}" $allowed && continue
		complain "$file:$line: src/pg/$floor includes $target"
	done < <(quoted_includes src/pg/"$floor"/*.[ch])
}

for folder in src/*/; do
	one_of "$(basename "$folder")" "${layers[@]}" || complain "$folder is no layer"
done
for folder in src/pg/*/; do
	one_of "$(basename "$folder")" "${floors[@]}" || complain "$folder is no floor"
done
for folder in src/*/ src/pg/*/; do
	[ -f "${folder}README.md" ] || complain "$folder has no README"
done
for file in src/pg/*.[ch]; do
	one_of "$(basename "$file")" "${top[@]}" || complain "$file lies on top of the floors"
done

allowed=
for layer in "${layers[@]}"; do
	allowed="$allowed $layer"
	check_layer "$layer" "$allowed"
	[ "$layer" = kernels ] && continue
	while IFS= read -r line; do
		[ "${line%%:*}" = src/core/hash_blocks.c ] ||
			complain "$line: intrinsics belong to src/kernels"
	done < <(grep -rnE \
		'^[[:space:]]*#[[:space:]]*include[[:space:]]*<([a-z]*intrin|arm_neon|cblas|openblas.*)\.h>' \
		"src/$layer")
done
while IFS= read -r line; do
	complain "$line: what may be large is read through src/pg/server/detoast.h"
done < <(grep -rnE 'PG_GETARG_(TEXT|BYTEA|VARCHAR|BPCHAR|JSONB|ARRAYTYPE)_P|PG_DETOAST_DATUM_COPY' \
	--include='*.[ch]' src/pg | grep -v '^src/pg/server/detoast.h:')
check_floor server "server"
check_floor model "server model"
check_floor infer "server model infer"
check_floor column "server model infer column"
check_floor job "server model infer job"
exit $status
