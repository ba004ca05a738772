#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Every static check, as TAP: one test each.
source "$(dirname "$0")/common.sh"

checks=(format spdx words layers banned state sizes docs systemd cppcheck analyzer clang_tidy)

echo "1..${#checks[@]}"
number=0 failed=0
for check in "${checks[@]}"; do
  number=$((number + 1))
  began=$SECONDS
  if output=$("tests/lint/$check.sh" 2>&1); then
    echo "ok $number - $check ($((SECONDS - began)) s)"
  else
    echo "not ok $number - $check"
    failed=1
  fi
  [ -z "$output" ] || printf '%s\n' "$output" | sed 's/^/# /'
done
exit $failed
