#!/usr/bin/env bash
# The console's tests: types, logic, and the pages in a real Chromium against the real binary. `make test` runs it from the
# repository's root. Where Node or a browser cannot be had it says what it leaves out, and why.
set -euo pipefail
cd "$(dirname "$0")/.."

skip() {
	echo "SKIPPED: $1"
	exit 0
}

if ! node scripts/node.mjs 2>/dev/null; then
	skip "the console's tests; they need Node 20.19 or newer (https://nodejs.org)"
fi
if [[ ! -e dist/index.html || ! -e node_modules/.package-lock.json ]]; then
	skip "the console's tests; what it is built with could not be fetched, see above"
fi
npm run --silent check
npm run --silent test

chromium=$(for place in "${CHROMIUM:-}" /usr/bin/chromium /usr/bin/chromium-browser /usr/bin/google-chrome; do
	if [[ -n $place && -x $place ]]; then echo "$place" && break; fi
done)
if [[ -z $chromium ]]; then
	if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
		skip "the console in a browser; install Chromium (Debian: apt-get install chromium), or set CHROMIUM to one"
	fi
	echo "installing Debian's chromium for the console's tests ..."
	log=$(mktemp)
	if ! { timeout 300 apt-get update && DEBIAN_FRONTEND=noninteractive timeout 600 apt-get install -y --no-install-recommends chromium; } >"$log" 2>&1; then
		tail -n 5 "$log"
		skip "the console in a browser; Debian's chromium could not be installed, see above"
	fi
fi
# A hang is ended; the tests' own limits are far below.
timeout --kill-after=10 900 npm run --silent e2e
