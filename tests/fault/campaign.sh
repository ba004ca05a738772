#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# campaign.sh [PROGRAM…]: every scenario in full and, if unit tests are named, valgrind on them and
# on a session. SCENARIO=name runs one scenario, SEED=n another sequence; without the former an idle
# gateway is measured for a minute too, and all end-to-end tests run spread over two gateways. Prints
# a report; ends with 1 if anything was violated.
set -u
cd "$(dirname "$0")/../.." || exit 2

[ -n "${SCENARIO:-}" ] || unset SCENARIO
export TOLLGATE_E2E_BINARY="$PWD/build/tollgate"
status=0
# The SDK leaves a listener on its one signal with every request.
tests/e2e/node_modules/.bin/node --disable-warning=MaxListenersExceededWarning \
  tests/fault/campaign.mjs || status=1
# run_longer NAME SETTING…: a unit test that does more there.
run_longer() {
  local name=$1 report="build/$1.tap"
  shift
  if env CMOCKA_MESSAGE_OUTPUT=TAP "$@" "build/san/tests/unit/audit/$name" > "$report" 2>&1; then
    echo "ok     $name:$(sed -n 's/^# \([0-9].*\)/ \1/p' "$report")"
  else
    echo "FAILED $name: see $report"
    tail -20 "$report"
    status=1
  fi
}
if [ -z "${SCENARIO:-}" ]; then
  run_longer test_ledger_power TOLLGATE_POWER_STATES=15000
  run_longer test_book_faults TOLLGATE_FAULT_STRIDE=1
  report=build/start.tap
  if tests/e2e/run.sh "$PWD/tests/e2e/start.test.mjs" > "$report"; then
    echo "ok     start:$(sed -n 's/^# \([0-9.]* % of a core\).*/ \1 when idle/p' "$report")"
  else
    echo "FAILED start: see $report"
    grep -A12 '^ *not ok' "$report"
    status=1
  fi
  tests/e2e/spread.sh || status=1
fi
if [ $# -gt 0 ]; then
  report=build/mutations.txt
  if MUTATIONS=10000 MUTATION_SEED="${SEED:-1}" MUTATION_ROWS=120 CMOCKA_TEST_ABORT=1 \
    build/val/tests/unit/audit/test_verify_mutations > "$report" 2>&1; then
    echo "ok     mutations:$(sed -n 's/^#\( [0-9]* changes found and named\).*/\1/p' "$report")"
  else
    echo "FAILED mutations: see $report"
    grep -A8 '^# mutation' "$report"
    status=1
  fi
  report=build/valgrind.tap
  if tests/valgrind.sh "$@" > "$report"; then
    echo "ok     valgrind: $(grep -c '^ok' "$report") programs without a finding"
  else
    echo "FAILED valgrind: see $report"
    grep -A20 '^not ok' "$report"
    status=1
  fi
fi
exit $status
