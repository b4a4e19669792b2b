#!/usr/bin/env bash
# Installs what the tests start for themselves, PostgreSQL and Redis, where that can be done: on Debian, as root. Nothing is
# started here, and no service of the system's is left running. Elsewhere it says what to do.
set -euo pipefail

wanted=()
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || command -v postgres >/dev/null || wanted+=(postgresql)
command -v redis-server >/dev/null || command -v valkey-server >/dev/null || wanted+=(redis-server)
[[ ${#wanted[@]} -gt 0 ]] || exit 0

if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
	echo "some of the tests need ${wanted[*]}, which are not here; install them (as Debian's packages are called) or name" \
		"servers with REGATTA_TEST_POSTGRES_URL and REGATTA_TEST_REDIS_URL. Without them these tests are skipped."
	exit 0
fi

echo "installing Debian's ${wanted[*]} for some of the tests ..."
# The packages would start servers of their own and make a database; the tests want only the programs.
policy=/usr/sbin/policy-rc.d
cluster=/etc/postgresql-common/createcluster.conf
if [[ ! -e $policy ]]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod +x "$policy"
	trap 'rm -f "$policy"' EXIT
fi
if [[ ! -e $cluster ]]; then
	mkdir -p "${cluster%/*}"
	echo 'create_main_cluster = false' >"$cluster"
fi
install=(env DEBIAN_FRONTEND=noninteractive apt-get -y -o Dpkg::Options::=--force-confold install --no-install-recommends)
if ! { apt-get update && "${install[@]}" "${wanted[@]}"; } >/dev/null 2>&1; then
	echo "${wanted[*]} could not be installed"
fi
