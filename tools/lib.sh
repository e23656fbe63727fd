# lib.sh: what tools/demo, tools/test and the scripts of test/t share. Sourced, never run.
#
# A tool works in two halves. The outer half, as whoever called it, installs missing packages, makes
# a work directory below build/ and copies the sources there. The inner half is the same tool
# started from that copy as an ordinary user; it builds, installs into a private copy of PostgreSQL
# and runs private servers. Nothing is written outside the work directory, no installed server is
# touched, and the outer half removes the work directory at its end.

PACKAGES_RUN="postgresql-15 libutf8proc2 libopenblas0-pthread"
PACKAGES_BUILD="build-essential postgresql-server-dev-15 libutf8proc-dev libjansson-dev"
PACKAGES_TEST="libcmocka-dev clang-14 clang-format-14 clang-tidy-14 chromium pgbouncer"
PACKAGES_TEST_15="postgresql-15-plproxy postgresql-plperl-15"

note() {
	printf '%s\n' "$*"
}

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# --- outer half

# install_packages NAME...: apt installs what is missing, and asks for nothing when nothing is.
install_packages() {
	local package missing=() as_root=()

	command -v dpkg-query >/dev/null || { note "no dpkg here: taking $* as installed"; return 0; }
	for package in "$@"; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
			missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	# The headers' inline functions call what an older server of the same version may lack.
	case " ${missing[*]} " in *" postgresql-server-dev-15 "*) missing+=(postgresql-15) ;; esac

	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null ||
			die "these packages are missing, and there is no sudo to install them: ${missing[*]}"
		if [ -t 0 ]; then as_root=(sudo); else as_root=(sudo -n); fi
	fi
	note "installing ${missing[*]}"
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 \
		update </dev/null >/dev/null ||
		note "apt-get update failed; trying with the package lists that are there"
	if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
		-o DPkg::Lock::Timeout=300 \
		install "${missing[@]}" </dev/null >"${TMPDIR:-/tmp}/bert-apt.$$" 2>&1; then
		cat "${TMPDIR:-/tmp}/bert-apt.$$" >&2
		rm -f "${TMPDIR:-/tmp}/bert-apt.$$"
		die "apt could not install: ${missing[*]}"
	fi
	rm -f "${TMPDIR:-/tmp}/bert-apt.$$"
}

# choose_user ROOT: sets RUN_UID, RUN_GID and AS_USER. PostgreSQL refuses to run as root, so root
# becomes the owner of the sources, or nobody when root owns them.
choose_user() {
	RUN_UID=$(id -u) RUN_GID=$(id -g) AS_USER=()
	[ "$RUN_UID" -eq 0 ] || return 0
	RUN_UID=$(stat -c %u "$1")
	if [ "$RUN_UID" -eq 0 ] || ! getent passwd "$RUN_UID" >/dev/null; then
		RUN_UID=$(id -u nobody)
	fi
	RUN_GID=$(id -g "$(getent passwd "$RUN_UID" | cut -d: -f1)")
	AS_USER=(setpriv --reuid="$RUN_UID" --regid="$RUN_GID" --clear-groups)
}

# make_work ROOT NAME: sets WORK to a new directory below ROOT/build that the ordinary user can
# enter, write and execute in, or to one below /tmp when ROOT is out of its reach.
make_work() {
	local root=$1 name=$2 parent

	for parent in "$root/build" /tmp; do
		# make takes a path with spaces or the like for several.
		[[ $parent =~ ^[-_./+a-zA-Z0-9]+$ ]] || continue
		if [ ! -d "$parent" ]; then
			mkdir "$parent" 2>/dev/null || continue
			chown --reference="$root" "$parent"
		fi
		WORK=$(mktemp -d "$parent/bert-$name.XXXXXX" 2>/dev/null) || continue
		chown "$RUN_UID:$RUN_GID" "$WORK"
		if (cd / && "${AS_USER[@]}" sh -c 'cd "$1" && cp /bin/true ./probe && ./probe && rm probe' \
			sh "$WORK") 2>/dev/null; then
			[ "$parent" != /tmp ] ||
				note "$root is no place to build for user $RUN_UID: working in $WORK instead"
			return 0
		fi
		rm -rf "$WORK"
	done
	die "found no place to work: neither $root/build nor /tmp lets user $RUN_UID write and execute"
}

# copy_sources FROM TO: everything but what is built.
copy_sources() {
	local version
	version=$(sed -n "s/^default_version *= *'\(.*\)'/\1/p" "$1/bert.control")
	tar -C "$1" -cf - --exclude=./.git --exclude=./build --exclude=./results --exclude='*.o' \
		--exclude='*.so' \
		--exclude=__pycache__ --exclude="./sql/bert--$version.sql" . |
		"${AS_USER[@]}" sh -c 'umask 022; mkdir -p "$1" && cd "$1" &&
			tar -xf - --no-same-owner --no-same-permissions' sh "$2"
}

remove_work() {
	[ -z "${WORK:-}" ] || rm -rf "$WORK"
	rmdir "$ROOT/build" 2>/dev/null || true
}

# run_inner TOOL ARGUMENT...: starts the copy of the tool in WORK/tree as the ordinary user, in a
# process group of its own so that a Ctrl-C or a TERM reaches all of it, and waits until it has
# cleaned up. Returns its exit status.
run_inner() {
	local tool=$1 status=0 child
	shift
	set -m
	(cd "$WORK/tree" && exec "${AS_USER[@]}" env -i \
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		HOME="$WORK" TMPDIR="$WORK/tmp" LC_ALL=C TERM="${TERM:-dumb}" PGCLIENTENCODING=UTF8 \
		BERT_WORK="$WORK" BERT_ROOT="$ROOT" \
		bash "$WORK/tree/tools/$tool" --inner "$@") </dev/null &
	child=$!
	set +m
	trap 'kill -INT -- -$child 2>/dev/null' INT
	trap 'kill -TERM -- -$child 2>/dev/null' TERM HUP
	while kill -0 "$child" 2>/dev/null; do
		status=0
		wait "$child" || status=$?
	done
	trap - INT TERM HUP
	return "$status"
}

# --- inner half

# common_directory PATH...: the deepest directory that holds all of them.
common_directory() {
	local common=$1 path
	for path in "$@"; do
		while [ "${path#"$common"/}" = "$path" ] && [ "$path" != "$common" ]; do
			common=${common%/*}
		done
	done
	printf '%s\n' "$common"
}

# copy_postgres PG_CONFIG TO: a private copy of an installation. PostgreSQL finds its files relative
# to its programs, so the copy keeps their places to each other. Sets PG_CONFIG and PG_BIN to the
# copy's.
copy_postgres() {
	local original=$1 to=$2 bin lib share include prefix path
	bin=$("$original" --bindir) lib=$("$original" --pkglibdir) share=$("$original" --sharedir)
	include=$("$original" --includedir)
	prefix=$(common_directory "$bin" "$lib" "$share" "$include")
	for path in "$bin" "$lib" "$share"; do
		mkdir -p "$to${path#"$prefix"}"
		tar -C "$path" -chf - --exclude=./bitcode --exclude=./man . |
			tar -C "$to${path#"$prefix"}" -xf -
	done
	# A libpq of its own comes along; the system's stays where it is.
	path=$("$original" --libdir)
	case $path in
		/lib | /lib64 | /lib/*-linux-gnu | /usr/lib | /usr/lib64 | /usr/lib/*-linux-gnu) ;;
		"$prefix"/*)
			mkdir -p "$to${path#"$prefix"}"
			cp -a "$path"/lib*.so* "$to${path#"$prefix"}/" ;;
	esac
	# Libraries that the programs find relative to their place (a Python wheel's) are found from the
	# copy as well.
	path=$(ldd "$bin/postgres" "$bin/psql" "$bin/initdb" 2>/dev/null |
		awk '$3 ~ /^\// {sub("/[^/]*$", "", $3); print $3}' |
		sort -u | grep -vE '^(/usr)?/lib(64)?(/[^/]*-linux-gnu)?$' | paste -sd: -) || true
	[ -z "$path" ] || export LD_LIBRARY_PATH="$path"
	mkdir -p "$(dirname "$to${include#"$prefix"}")"
	ln -s "$include" "$to${include#"$prefix"}"
	PG_BIN=$to${bin#"$prefix"}
	PG_CONFIG=$PG_BIN/pg_config
}

# cluster_create DIRECTORY [SETTING...]: initdb and start; sets PGHOST, PGPORT, PGUSER, PGDATABASE.
# Unix socket only. A socket's path may have 107 bytes, so in a deep directory it goes below /tmp.
cluster_create() {
	local directory=$1
	shift
	mkdir -p "$directory"
	if [ ${#directory} -lt 80 ]; then
		mkdir -m 700 "$directory/socket"
		PGHOST=$directory/socket
	else
		PGHOST=$(mktemp -d /tmp/bert-socket.XXXXXX)
		printf '%s\n' "$PGHOST" >"$directory/socket_elsewhere"
	fi
	export PGHOST PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
	if ! "$PG_BIN/initdb" -D "$directory/data" -U postgres -A trust -E UTF8 --no-locale -N \
		>"$directory/initdb.log" 2>&1; then
		cat "$directory/initdb.log" >&2
		return 1
	fi
	{
		printf "%s\n" "listen_addresses = ''" "unix_socket_directories = '$PGHOST'" "port = 5432" \
			"max_connections = 60" "max_worker_processes = 16" "fsync = off" \
			"logging_collector = off" \
			"log_line_prefix = '%m [%p] %b '" "timezone = 'UTC'"
		[ $# -eq 0 ] || printf '%s\n' "$@"
	} >>"$directory/data/postgresql.conf"
	cluster_start "$directory"
}

# cluster_start DIRECTORY
cluster_start() {
	if ! "$PG_BIN/pg_ctl" -D "$1/data" -l "$1/server.log" -w -t 60 -s start </dev/null; then
		tail -n 30 "$1/server.log" >&2
		return 1
	fi
}

# cluster_stop DIRECTORY [MODE]
cluster_stop() {
	[ ! -f "$1/data/postmaster.pid" ] || "$PG_BIN/pg_ctl" -D "$1/data" -m "${2:-fast}" -w -t 60 \
		-s stop </dev/null
}

# cluster_remove DIRECTORY: at once, whatever state it is in.
cluster_remove() {
	cluster_stop "$1" immediate || true
	[ ! -f "$1/socket_elsewhere" ] || rm -rf "$(cat "$1/socket_elsewhere")"
	rm -rf "$1"
}
