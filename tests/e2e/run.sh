#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The end-to-end tests: one development gateway, the files one after the other.
#
#   tests/e2e/run.sh [file.test.mjs …]      all files in their order, or the ones named
#   tests/e2e/run.sh shared|own|oauth       those on the one gateway, or those with their own, in two
#                                           parts that take about as long
#
# A single file against a gateway that runs already (for instance that of `make run`):
#   TOLLGATE_E2E_DIR=.run tests/e2e/node_modules/.bin/node --test tests/e2e/matrix.test.mjs
# Without TOLLGATE_E2E_DIR a file starts, and removes, a gateway of its own.
#
# TOLLGATE_E2E_SPREAD=1: beside each gateway runs a second one on the same databases, two workers
# each, and single requests are spread over both (lib/spread.mjs).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
node=$here/node_modules/.bin/node
program=${TOLLGATE_E2E_BINARY:-$here/../../build/tollgate}
shared="matrix conformance programs wire wrong tenants lifecycle changes secrets cli operate
  oauth_settings notes_sample book"
# These start gateways of their own or leave nothing that the book is asked for later, so they may
# run beside the others.
own="fixtures docs upstreams processes restarts cancel away events record traces anchors
  audit_verify audit_sql spool"
oauth="oauth_fixtures oauth_quirks accounts oauth_calls attacks connect connect_flow
  connect_conformance keyring canaries redaction audit_api"
# This one measures: it runs alone.
alone="start"
ready_seconds=30

[ -x "$node" ] || { echo "run npm ci in tests/e2e first" >&2; exit 2; }
[ -x "$program" ] || { echo "$program is missing: build it first" >&2; exit 2; }
case ${1-all} in
all) names="$shared $own $oauth $alone" ;;
shared) names=$shared ;;
own) names=$own ;;
oauth) names=$oauth ;;
*) names= ;;
esac
if [ -n "$names" ]; then
  set --
  for name in $names; do set -- "$@" "$here/$name.test.mjs"; done
fi

scratch=$(mktemp -d)
gateway=
spread=
waiting=
stop() {
  status=$?
  trap - EXIT INT TERM
  [ -z "$waiting" ] || kill -TERM "$waiting" 2>/dev/null || true
  if [ -n "$spread" ] && kill -0 "$spread" 2>/dev/null; then
    kill -TERM "$spread"
    wait "$spread" || { echo "the second gateway ended with $?" >&2; status=1; }
  fi
  if [ -n "$gateway" ] && kill -0 "$gateway" 2>/dev/null; then
    kill -TERM "$gateway"
    wait "$gateway" || { echo "the gateway ended with $?" >&2; status=1; }
  fi
  if [ "$status" -ne 0 ]; then
    echo "# the gateway's last lines:" >&2
    tail -n 40 "$scratch/gw.log" >&2 || true
    [ -z "$spread" ] || tail -n 40 "$scratch/second.log" >&2 || true
  fi
  "$program" dev --dir "$scratch/gw" --reset >/dev/null 2>&1 || echo "$scratch/gw: not reset" >&2
  rm -rf "$scratch"
  exit "$status"
}
trap stop EXIT
trap 'exit 130' INT TERM

mkdir "$scratch/ledger"

# await FILE PID: until the file is there.
await() {
  tries=0
  until [ -s "$1" ]; do
    kill -0 "$2" 2>/dev/null || { echo "ended before $1 was there" >&2; exit 1; }
    tries=$((tries + 1))
    [ "$tries" -lt $((ready_seconds * 20)) ] || { echo "no $1 in $ready_seconds s" >&2; exit 1; }
    sleep 0.05
  done
}

front_port=
if [ -n "${TOLLGATE_E2E_SPREAD:-}" ]; then
  front_port=$("$node" --input-type=module -e "
    import { freePort } from '$here/lib/fixtures.mjs';
    console.log(await freePort());")
fi
"$program" dev --dir "$scratch/gw" --port 0 \
  ${front_port:+--workers 2 --set "public_url=http://127.0.0.1:$front_port"} >"$scratch/gw.log" 2>&1 &
gateway=$!
await "$scratch/gw/dev.json" "$gateway"
if [ -n "${TOLLGATE_E2E_SPREAD:-}" ]; then
  mkfifo "$scratch/tie"
  "$node" "$here/lib/spread.mjs" "$scratch/gw" "$front_port" <"$scratch/tie" &
  spread=$!
  exec 9>"$scratch/tie"
  await "$scratch/gw/spread.json" "$spread"
fi

export TOLLGATE_E2E_DIR="$scratch/gw"
export TOLLGATE_E2E_LOG="$scratch/gw.log"
export TOLLGATE_E2E_LEDGER="$scratch/ledger"
export TOLLGATE_E2E_BINARY="$program"
failed=0
options="--test --test-timeout=300000 --test-reporter=${TEST_REPORTER:-tap}"
# One by one: given several files, node runs them in an order of its own, and the book is compared
# with what all files before it have sent. But lifecycle, which waits for half a minute, runs beside
# those before the book.
for file in "$@"; do
  case $file in
  */lifecycle.test.mjs)
    # shellcheck disable=SC2086
    "$node" $options "$file" >"$scratch/waiting.tap" &
    waiting=$!
    ;;
  esac
done
await_waiting() {
  [ -n "$waiting" ] || return 0
  wait "$waiting" || failed=1
  waiting=
  echo "# file lifecycle"
  cat "$scratch/waiting.tap"
}
for file in "$@"; do
  case $file in
  */lifecycle.test.mjs) continue ;;
  */book.test.mjs) await_waiting ;;
  esac
  echo "# file $(basename "$file" .test.mjs)"
  # shellcheck disable=SC2086
  "$node" $options "$file" || failed=1
done
await_waiting
exit $failed
