#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The end-to-end tests: one development gateway, the files one after the other.
#
#   tests/e2e/run.sh [file.test.mjs …]      all files in their order, or the ones named
#
# A single file against a gateway that runs already (for instance that of `make run`):
#   TOLLGATE_E2E_DIR=.run tests/e2e/node_modules/.bin/node --test tests/e2e/matrix.test.mjs
# Without TOLLGATE_E2E_DIR a file starts, and removes, a gateway of its own.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
node=$here/node_modules/.bin/node
program=${TOLLGATE_E2E_BINARY:-$here/../../build/tollgate}
order="fixtures matrix conformance programs wire wrong tenants lifecycle changes upstreams processes restarts cancel away secrets cli operate book docs start"
ready_seconds=30

[ -x "$node" ] || { echo "run npm ci in tests/e2e first" >&2; exit 2; }
[ -x "$program" ] || { echo "$program is missing: build it first" >&2; exit 2; }
if [ $# -eq 0 ]; then
  for name in $order; do set -- "$@" "$here/$name.test.mjs"; done
fi

scratch=$(mktemp -d)
gateway=
stop() {
  status=$?
  trap - EXIT INT TERM
  if [ -n "$gateway" ] && kill -0 "$gateway" 2>/dev/null; then
    kill -TERM "$gateway"
    wait "$gateway" || { echo "the gateway ended with $?" >&2; status=1; }
  fi
  if [ "$status" -ne 0 ]; then
    echo "# the gateway's last lines:" >&2
    tail -n 40 "$scratch/gw.log" >&2 || true
  fi
  "$program" dev --dir "$scratch/gw" --reset >/dev/null 2>&1 || echo "$scratch/gw: not reset" >&2
  rm -rf "$scratch"
  exit "$status"
}
trap stop EXIT
trap 'exit 130' INT TERM

mkdir "$scratch/ledger"
"$program" dev --dir "$scratch/gw" --port 0 >"$scratch/gw.log" 2>&1 &
gateway=$!
tries=0
until [ -s "$scratch/gw/dev.json" ]; do
  kill -0 "$gateway" 2>/dev/null || { gateway=; echo "tollgate dev has ended" >&2; exit 1; }
  tries=$((tries + 1))
  [ "$tries" -lt $((ready_seconds * 20)) ] || { echo "not ready in $ready_seconds s" >&2; exit 1; }
  sleep 0.05
done

export TOLLGATE_E2E_DIR="$scratch/gw"
export TOLLGATE_E2E_LOG="$scratch/gw.log"
export TOLLGATE_E2E_LEDGER="$scratch/ledger"
export TOLLGATE_E2E_BINARY="$program"
# One by one: given several files, node runs them in an order of its own, and the book is compared
# with what all files before it have sent.
failed=0
for file in "$@"; do
  "$node" --test --test-timeout=300000 --test-reporter="${TEST_REPORTER:-tap}" "$file" || failed=1
done
exit $failed
