#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# spread.sh [file.test.mjs …]: every file of the suite, or those named, with the requests of each
# session spread over two gateways of two workers each. Prints a line for each file and each test
# that was skipped, with its reason; ends with 1 if anything failed. All that was printed lies in
# build/spread.tap.
set -u
cd "$(dirname "$0")/../.." || exit 2

report=build/spread.tap
status=0
TOLLGATE_E2E_SPREAD=1 TEST_REPORTER=tap tests/e2e/run.sh "$@" >"$report" 2>build/spread.err ||
  status=1
awk '
  /^# file / { file = $3; skipped = "" }
  / # SKIP / { sub(/^ *ok [0-9]+ - /, ""); sub(/ # SKIP /, ": "); skipped = skipped "         - " $0 "\n" }
  /^ *not ok / { failed = 1; line = $0; sub(/^ */, "", line); skipped = skipped "         " line "\n" }
  /^# (pass|fail|cancelled|skipped) [0-9]+$/ { n[$2] = $3 }
  /^# duration_ms / {
    bad = n["fail"] + n["cancelled"]
    printf "%s %-12s %4d passed %3d failed %3d skipped %5.0f s\n%s", bad ? "FAILED" : "ok    ", file,
      n["pass"], bad, n["skipped"], $3 / 1000, skipped
    for (name in n) total[name] += n[name]
    files++
  }
  END {
    printf "%d files on two gateways: %d passed, %d failed, %d skipped\n", files, total["pass"],
      total["fail"] + total["cancelled"], total["skipped"]
    exit failed || !files
  }' "$report" || status=1
[ "$status" = 0 ] || tail -n 60 build/spread.err
exit $status
