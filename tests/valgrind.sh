#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# valgrind.sh [PROGRAM…]: the unit tests named, and then a short session of build/tollgate with
# real clients, under valgrind. Prints TAP, one test for each program and one for the session, and
# fails on any error or lost block that tests/valgrind.supp does not name. tests/valgrind.slow names
# the tests that are too slow there for their own deadlines.
set -u
cd "$(dirname "$0")/.." || exit 2

export log_dir=$PWD/build/valgrind
export seconds=900
# Children that only fork are followed; what they exec is not ours. Some tests keep a world of
# megabytes on the stack, which is no switch to another stack.
valgrind=(valgrind -q --error-exitcode=99 --max-stackframe=16777216 --leak-check=full --show-leak-kinds=definite
  --errors-for-leak-kinds=definite --suppressions="$PWD/tests/valgrind.supp" --trace-children=no)
export CMOCKA_MESSAGE_OUTPUT=TAP
unset ASAN_OPTIONS UBSAN_OPTIONS LSAN_OPTIONS

rm -rf "$log_dir"
mkdir -p "$log_dir"

# What memcheck finds beside leaks.
export errors='Invalid (read|write|free)|uninitialised|unaddressable|Mismatched free|overlap in'

# One unit test: its own verdict and that of every process below it.
unit() {
  local program=$1 name code
  shift
  name=${program#build/val/tests/unit/}
  name=${name//\//_}
  timeout "$seconds" "$@" --log-file="$log_dir/$name.%p.log" "$program" > "$log_dir/$name.out" 2>&1
  code=$?
  if [ "$code" -ne 0 ]; then
    echo "ended with $code" >> "$log_dir/$name.failed"
    grep -A3 '^not ok' "$log_dir/$name.out" >> "$log_dir/$name.failed"
  fi
  find "$log_dir" -name "$name.*.log" -size +0 -exec cat {} + >> "$log_dir/$name.failed"
  if grep -q "^${program#build/val/tests/unit/} " tests/valgrind.slow &&
    ! grep -qE "$errors" "$log_dir/$name.failed"; then
    rm "$log_dir/$name.failed"
  fi
  [ -s "$log_dir/$name.failed" ] || rm -f "$log_dir/$name.failed"
  return 0
}
export -f unit

printf '%s\n' "$@" | xargs -r -P 2 -I{} bash -c 'unit "$@"' - {} "${valgrind[@]}"

number=0 failed=0
verdict() {
  number=$((number + 1))
  if [ -e "$log_dir/$1.failed" ]; then
    echo "not ok $number - $2"
    head -200 "$log_dir/$1.failed" | sed 's/^/# /'
    failed=1
  else
    echo "ok $number - $2"
  fi
}
for program in "$@"; do
  name=${program#build/val/tests/unit/}
  verdict "${name//\//_}" "$name under valgrind"
done

# The program of the session is this line.
mkdir -p "$log_dir/bin"
printf '#!/bin/sh\nexec %s --log-file=%s/session.%%p.log %s "$@"\n' "${valgrind[*]}" "$log_dir" \
  "$PWD/build/tollgate" > "$log_dir/bin/tollgate"
chmod +x "$log_dir/bin/tollgate"
TOLLGATE_E2E_BINARY="$log_dir/bin/tollgate" timeout "$seconds" \
  tests/e2e/node_modules/.bin/node tests/fault/session.mjs > "$log_dir/session.out" 2>&1 ||
  cat "$log_dir/session.out" >> "$log_dir/session.failed"
find "$log_dir" -name 'session.*.log' -size +0 -exec cat {} + >> "$log_dir/session.failed"
[ -s "$log_dir/session.failed" ] || rm "$log_dir/session.failed"
verdict session "a session under valgrind: $(tail -1 "$log_dir/session.out")"
echo "1..$number"
exit $failed
