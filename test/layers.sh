#!/bin/bash
# A layer includes only itself and what lies below; only src/pg sees postgres.h, only src/kernels intrinsics.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
shopt -s nullglob

layers=(core files tokenizer kernels nn train pg)
status=0

complain() {
	printf '%s\n' "$1"
	status=1
}

for folder in src/*/; do
	case " ${layers[*]} " in
		*" $(basename "$folder") "*) ;;
		*) complain "$folder is no layer" ;;
	esac
done

allowed=
for layer in "${layers[@]}"; do
	allowed="$allowed${allowed:+|}$layer"
	files=(src/"$layer"/*.[ch])
	[ ${#files[@]} -gt 0 ] || { complain "src/$layer has no sources"; continue; }
	# Every include in quotes names a layer, this one or a lower one; src/pg also takes PostgreSQL's headers.
	while IFS=: read -r file line include; do
		target=${include#*\"} target=${target%%\"*}
		case $target in
			*..*) complain "$file:$line: $target leaves its folder" ;;
		esac
		if ! [[ $target =~ ^($allowed)/ ]]; then
			first=${target%%/*}
			if [ "$layer" != pg ] || [[ " ${layers[*]} " == *" $first "* ]]; then
				complain "$file:$line: $layer includes $target"
			fi
		fi
	done < <(grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' "${files[@]}" /dev/null)
	if [ "$layer" != kernels ]; then
		while IFS= read -r line; do
			complain "$line: intrinsics belong to src/kernels"
		done < <(grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*<([a-z]*intrin|arm_neon|cblas|openblas.*)\.h>' "${files[@]}" /dev/null)
	fi
done
exit $status
