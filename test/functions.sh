#!/bin/bash
# A function has at most 60 lines, braces included, and 7 parameters. One that has more says why, in
# the comment in front of it, with the words "Long:" or "Parameters:" and the reason. Counts what
# clang-format leaves: the name in the first column, `{` and `}` too. Types of functions and fields
# that point to functions count by their parameters.
#
#   test/functions.sh [FOLDER...]   default: all that hold C
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

[ $# -gt 0 ] || set -- src bench test

find "$@" -name '*.[ch]' | sort | xargs awk '
# parameters TEXT: of a list in parentheses, commas at its top level plus one
function parameters(text,    i, c, depth, n) {
	n = text ~ /\(\(?void\)/ ? 0 : 1
	for (i = 1; i <= length(text); i++) {
		c = substr(text, i, 1)
		if (c == "(") depth++
		if (c == ")" && --depth == 0) return n
		if (c == "," && depth == 1) n++
	}
	return n
}
function complain(line, what) {
	printf "%s:%d: %s\n", FILENAME, line, what
	bad = 1
}
function check_parameters(line, name, text,    n) {
	n = parameters(text)
	if (n > 7 && comment !~ /Parameters:/)
		complain(line, name " takes " n " parameters")
}
FNR == 1 { comment = ""; state = "top"; pointer = "" }
# comments are remembered until the next line of code
state == "top" && /^[\t ]*\/\*/ { comment = ""; in_comment = 1 }
in_comment { comment = comment $0; if (/\*\//) in_comment = 0; next }
# a pointer to a function: in a struct or a typedef, maybe over several lines
pointer == "" && /\(\*[A-Za-z_]+(\[[^]]*\])?\)\(/ && !/[=;{}].*\(\*/ {
	pointer = $0
	pointer_line = FNR
}
pointer != "" {
	if (FNR != pointer_line) pointer = pointer $0
	if ($0 ~ /[;{]/) {
		name = pointer
		sub(/^.*\(\*/, "", name)
		sub(/[^A-Za-z_0-9].*$/, "", name)
		text = pointer
		sub(/^[^*]*\(\*[A-Za-z_0-9]+(\[[^]]*\])?\)/, "", text)
		check_parameters(pointer_line, name, text)
		pointer = ""
		if (state == "top") comment = ""
	}
}
/^[A-Za-z_][A-Za-z_0-9]*\(/ && state == "top" {
	state = "list"
	start = FNR
	list = ""
	name = $0
	sub(/\(.*/, "", name)
}
state == "list" {
	if ($0 == "{") {
		state = "body"
		check_parameters(start, name, list)
		sub(/^[^(]*/, "", list)
		lines = 0
		first = FNR
	}
	else if (/;$/) { state = "top"; comment = "" }
	else list = list substr($0, index($0, "(") && list == "" ? index($0, "(") : 1)
}
state == "body" && $0 == "}" {
	if (FNR - first + 1 > 60 && comment !~ /Long:/)
		complain(start, name " has " FNR - first + 1 " lines")
	state = "top"
	comment = ""
}
# other code at the top: what was said before it belongs to it
state == "top" && /^[^\t #\/}]/ && /;$/ { comment = "" }
END { exit bad }
'
