#!/usr/bin/env bash
# Measures job queues beside Regatta, all on one PostgreSQL and one Redis of its own, which end with it. README.md has the rest.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
regatta=${REGATTA_BIN:-${CARGO_TARGET_DIR:-$here/../../target}/release/regatta}
[[ -x $regatta ]] || { echo "there is no $regatta: cargo build --release --locked --bin regatta" >&2; exit 1; }
postgres=$(compgen -G '/usr/lib/postgresql/*/bin/postgres' | sort -V | tail -1 || command -v postgres || true)
redis=$(command -v redis-server || command -v valkey-server || true)
[[ -n $postgres && -n $redis ]] || { echo "PostgreSQL and Redis are needed: scripts/test-services.sh installs them" >&2; exit 1; }

cd "$here"
if [[ ! node_modules/.package-lock.json -nt package-lock.json ]]; then
	echo "fetching what is measured beside Regatta ..."
	npm ci --silent --no-audit --no-fund && touch node_modules/.package-lock.json
fi
if [[ ! .venv/made -nt requirements.txt ]]; then
	python3 -m venv --clear .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --requirement requirements.txt
	touch .venv/made
fi

dir=$(mktemp -d)
pids=()
server=
stop() {
	for pid in $server "${pids[@]}"; do kill -INT "$pid" 2>/dev/null || true; done
	for pid in $server "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
	rm -rf "$dir"
}
trap stop EXIT
trap 'exit 130' INT TERM

# PostgreSQL does not run as root.
as=()
mkdir "$dir/services"
if [[ $(id -u) == 0 ]]; then
	chmod 711 "$dir"
	chown nobody "$dir/services"
	as=(setpriv --reuid nobody --regid "$(id -g nobody)" --clear-groups --)
fi
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
until_open() {
	for _ in $(seq 300); do
		if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return; fi
		sleep 0.1
	done
	echo "nothing listens on port $1; the logs:" >&2
	tail -5 "$dir"/*.log >&2
	exit 1
}

pg=$(port)
(cd / && "${as[@]}" "${postgres%/*}/initdb" --username=postgres --auth=trust --encoding=UTF8 --locale=C -D "$dir/services/data" >/dev/null)
"${as[@]}" "$postgres" -D "$dir/services/data" -p "$pg" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
	-c max_connections=200 -c shared_buffers=512MB -c min_wal_size=1GB -c max_wal_size=4GB >"$dir/postgres.log" 2>&1 &
pids+=($!)
until_open "$pg"

# As BullMQ's page about production has it: written down within a second, nothing evicted.
kv=$(port)
"${as[@]}" "$redis" --port "$kv" --bind 127.0.0.1 --dir "$dir/services" --appendonly yes --appendfsync everysec --save '' \
	--maxmemory-policy noeviction >"$dir/redis.log" 2>&1 &
pids+=($!)
until_open "$kv"

database() { (cd / && "${postgres%/*}/psql" -qX -h 127.0.0.1 -p "$pg" -U postgres -c "CREATE DATABASE $1"); }
# A server of Regatta's, until the next one.
serve() {
	local listen
	listen=$(port)
	"$regatta" serve --listen "127.0.0.1:$listen" --data-dir "$dir/$1" --log-level warn "${@:2}" >"$dir/$1.log" 2>&1 &
	server=$!
	until_open "$listen"
	export PEERS_REGATTA=http://127.0.0.1:$listen
}
served() {
	kill -INT "$server"
	wait "$server" || true
	server=
}

export PEERS_REDIS=redis://127.0.0.1:$kv PEERS_RESULTS=$dir/results
measured=0
measure() {
	echo "... ${*: -1}" >&2
	measured=$((measured + 1))
	export PEERS_STARTED=$dir/started.$measured
	"$@"
}

database regatta
serve postgres --database "postgres://postgres@127.0.0.1:$pg/regatta"
measure node regatta.mjs client "Regatta, PostgreSQL"
served
serve sqlite
measure node regatta.mjs client "Regatta, embedded SQLite"
served
for way in plain batching; do
	database "graphile_$way"
	export PEERS_POSTGRES=postgres://postgres@127.0.0.1:$pg/graphile_$way
	measure node graphile.mjs client "$way"
done
measure node bullmq.mjs
measure .venv/bin/python celery_peer.py

echo
node table.mjs "$PEERS_RESULTS"
