#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run.sh PROGRAM…: every benchmark, of build/ and tests/bench/*.bench.mjs. Each judges itself, by a
# ceiling or by a ratio to another figure of the same run. Ends with 1 if one is missed.
set -u
cd "$(dirname "$0")/../.." || exit 2

export TOLLGATE_E2E_BINARY="$PWD/build/tollgate"
status=0
for program in "$@"; do
  "$program" || status=1
done
for script in tests/bench/*.bench.mjs; do
  [ -e "$script" ] || continue
  tests/e2e/node_modules/.bin/node "$script" || status=1
done
exit $status
