# lib.sh: TAP and SQL for the scripts of this folder. Sourced, not executable, so not a test itself.

TESTS=0

# ok NAME STATUS
ok() {
	TESTS=$((TESTS + 1))
	if [ "$2" -eq 0 ]; then
		printf 'ok %d - %s\n' "$TESTS" "$1"
	else
		printf 'not ok %d - %s\n' "$TESTS" "$1"
	fi
}

# is NAME GOT EXPECTED
is() {
	if [ "$2" = "$3" ]; then
		ok "$1" 0
	else
		ok "$1" 1
		printf '%s\n' "$2" | sed 's/^/#      got: /'
		printf '%s\n' "$3" | sed 's/^/# expected: /'
	fi
}

# like NAME TEXT FRAGMENT
like() {
	case $2 in
		*"$3"*) ok "$1" 0 ;;
		*)
			ok "$1" 1
			printf '%s\n' "$2" | head -n 20 | sed 's/^/#      got: /'
			printf '# expected: ...%s...\n' "$3"
			;;
	esac
}

# sql TEXT: its result, unaligned; errors go to standard error.
sql() {
	psql -X -q -At -v ON_ERROR_STOP=1 -c "$1"
}

# as ROLE TEXT: the same as somebody else.
as() {
	PGUSER=$1 psql -X -q -At -v ON_ERROR_STOP=1 -c "$2"
}

# fails NAME SQLSTATE FRAGMENT TEXT: the statement fails with this state and a message that holds
# the fragment.
fails() {
	local said
	said=$(psql -X -q -At -v VERBOSITY=verbose -v ON_ERROR_STOP=1 -c "$4" 2>&1)
	case $said in
		*"ERROR:  $2: "*"$3"*) ok "$1" 0 ;;
		*)
			ok "$1" 1
			printf '%s\n' "$said" | head -n 8 | sed 's/^/#      got: /'
			printf '# expected: ERROR:  %s: ...%s...\n' "$2" "$3"
			;;
	esac
}

# wait_until NAME QUERY: until the query says t, for at most half a minute.
wait_until() {
	local turn
	for turn in $(seq 300); do
		if [ "$(psql -X -q -At -c "$2" 2>/dev/null)" = t ]; then
			ok "$1" 0
			return 0
		fi
		sleep 0.1
	done
	ok "$1" 1
	return 1
}

# hold NAME SQL: a session that begins a transaction, runs the statements and keeps the transaction
# open until `release NAME`. Returns when the statements have run.
declare -A HOLD_INPUT HOLD_PID
hold() {
	local fifo=$TEST_SCRATCH/hold.$1 input turn
	mkfifo "$fifo"
	PGAPPNAME="hold $1" psql -X -q -v ON_ERROR_STOP=1 <"$fifo" >/dev/null 2>&1 &
	HOLD_PID[$1]=$!
	exec {input}>"$fifo"
	HOLD_INPUT[$1]=$input
	rm "$fifo"
	# One message: the transaction is idle only when all of it has run.
	printf '%s;\n' "BEGIN\\; $2" >&"$input"
	for turn in $(seq 300); do
		[ "$(sql "SELECT state FROM pg_stat_activity WHERE application_name = 'hold $1'")" = \
			'idle in transaction' ] && return 0
		sleep 0.1
	done
	return 1
}

# release NAME: the transaction commits and the session ends.
release() {
	printf 'COMMIT;\n\\q\n' >&"${HOLD_INPUT[$1]}"
	wait "${HOLD_PID[$1]}"
	eval "exec ${HOLD_INPUT[$1]}>&-"
}

# tiny_model NAME [WORDS [HEAD [SEED [LAYERS]]]]: a model of random weights for tests, 32 wide, at
# most 40 tokens, that knows these words besides the special tokens.
tiny_model() {
	local words=${2:-a b c d e f 1} vocabulary count
	vocabulary=$(printf '%s\n' '[PAD]' '[UNK]' '[CLS]' '[SEP]' '[MASK]' $words)
	count=$(printf '%s\n' "$vocabulary" | wc -l)
	sql "SELECT bert.create_model('$1', '{\"vocab_size\": $count, \"hidden_size\": 32,
		\"num_hidden_layers\": ${5:-1}, \"num_attention_heads\": 4, \"intermediate_size\": 64,
		\"max_position_embeddings\": 40}', '$vocabulary', '${3:-none}', ${4:-7})" >/dev/null
}

# own_database NAME: a database with the extension on the running server, current from here on and
# dropped at the end.
own_database() {
	psql -X -q -d postgres -c "CREATE DATABASE $1" || exit 1
	export PGDATABASE=$1
	trap "psql -X -q -d postgres -c 'DROP DATABASE $1 WITH (FORCE)' >/dev/null" EXIT
	sql "CREATE EXTENSION bert"
}

# failing_cluster NAME [SETTING...]: cluster_create of TEST_SCRATCH/NAME whose writes fail as the
# file BERT_FAULTS says, see faults.c.
failing_cluster() {
	local name=$1
	shift
	"${CC:-cc}" -shared -fPIC -O1 -o "$TEST_SCRATCH/faults.so" test/t/faults.c -ldl || return
	export BERT_FAULTS=$TEST_SCRATCH/fault
	printf '0 nothing\n' >"$BERT_FAULTS"
	LD_PRELOAD=$TEST_SCRATCH/faults.so cluster_create "$TEST_SCRATCH/$name" "$@" >/dev/null
}

# make_standby DIRECTORY: a base backup of the running server that cluster_start makes its standby;
# its PGHOST is DIRECTORY/socket.
make_standby() {
	"$PG_BIN/pg_basebackup" -D "$1/data" -R -X stream -c fast >"$1.log" 2>&1 || cat "$1.log"
	mkdir -m 700 "$1/socket"
	printf "unix_socket_directories = '%s'\n" "$1/socket" >>"$1/data/postgresql.conf"
	chmod 700 "$1/data"
}

# restore_as DATABASE: what pg_dump says of the current one, restored without an error into a new
# one, which is current from then on.
restore_as() {
	"$PG_BIN/pg_dump" >"$TEST_SCRATCH/dump" 2>"$TEST_SCRATCH/dump.log"
	sql "CREATE DATABASE $1"
	PGDATABASE=$1 "$PG_BIN/psql" -X -q -v ON_ERROR_STOP=1 -f "$TEST_SCRATCH/dump" \
		>"$TEST_SCRATCH/restore.log" 2>&1
	is "restored without an error" "$(grep -c ERROR "$TEST_SCRATCH/restore.log")" 0
	export PGDATABASE=$1
}

# kill_process PID: kill -9 of one of the server's processes, unless it has ended by itself.
# Afterwards the server has recovered: with another checkpointer, for it takes connections until it
# notices.
kill_process() {
	local turn before now query="SELECT pid FROM pg_stat_activity
		WHERE backend_type = 'checkpointer'"
	before=$(sql "$query")
	[ -n "$1" ] && kill -9 "$1" 2>/dev/null || return 0
	for turn in $(seq 300); do
		now=$(psql -X -q -At -c "$query" 2>/dev/null)
		[ -z "$now" ] || [ "$now" = "$before" ] || return 0
		sleep 0.1
	done
	return 1
}

# left_of PID...: those that still run after ten seconds. One that has ended and waits for an init
# that reaps it late does not.
left_of() {
	local turn pid left=
	for turn in $(seq 100); do
		left=
		for pid in "$@"; do
			! grep -qs '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$pid/status" || left="$left $pid"
		done
		[ -n "$left" ] || break
		sleep 0.1
	done
	printf '%s' "$left"
}

# kill_postmaster NAME DIRECTORY BACKEND_TYPE: kill -9; all its processes end by themselves, one of
# this type among them. The next start would take the killed one, unreaped, for a running server:
# the files that name it go.
kill_postmaster() {
	local pids n
	pids=$(sql "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
	n=$(sql "SELECT count(*) FROM pg_stat_activity WHERE backend_type = '$3'")
	kill -9 "$(head -n 1 "$2/data/postmaster.pid")"
	# shellcheck disable=SC2086
	is "$1" "$((n > 0)) $(left_of $pids)" "1 "
	rm -f "$2/data/postmaster.pid" "$PGHOST/".s.*.lock
}

done_testing() {
	printf '1..%d\n' "$TESTS"
}
