#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# run.sh [SUITE…]: runs the suites (all, unless named) and ends with one line
#
#   N passed, N failed
#
# that counts single test cases. Every suite is programs that print TAP. Besides `not ok` these
# count as failures: a program that crashes, stops before its plan is through, runs no test, or
# makes a sanitizer speak. What each printed lies in build/test-results/.
set -u
cd "$(dirname "$0")/.."
root=$PWD
results=$root/build/test-results

all_suites=(unit fuzz sql e2e fault lint)
fuzz_runs=30000
fuzz_seconds=20
node_texts=20000

export ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1:handle_abort=0"
export UBSAN_OPTIONS="print_stacktrace=1"
export LSAN_OPTIONS="suppressions=$root/tests/lsan.supp:print_suppressions=0"
export CMOCKA_MESSAGE_OUTPUT=TAP
# A failed assertion ends its program then and there, message first: what the test left behind would
# only make a later assertion fail, and that one hide the first.
export CMOCKA_TEST_ABORT=1
sanitizer_words='ERROR: (Address|Leak|Undefined|Thread)Sanitizer|LeakSanitizer: detected|: runtime error: '

# record NAME SECONDS COMMAND…: leaves NAME.out, NAME.err and NAME.rc in the results.
record() {
  local name=$1 seconds=$2
  shift 2
  mkdir -p "$(dirname "$results/$name")"
  timeout --kill-after=10 "$seconds" "$@" > "$results/$name.out" 2> "$results/$name.err" < /dev/null
  echo $? > "$results/$name.rc"
}
export -f record
export results

# tap_count FILE: "passed failed skipped planned". Node's summary counts leaves, so it wins over
# counting top-level lines.
tap_count() {
  awk '
    /^# pass [0-9]+$/ { node = 1; np += $3 }
    /^# (fail|cancelled) [0-9]+$/ { nf += $3 }
    /^# (skipped|todo) [0-9]+$/ { ns += $3 }
    /^1\.\.[0-9]+/ { planned += substr($1, 4) }
    /^(not )?ok .*# (SKIP|T[O]DO)/ { s++; next }
    /^ok [0-9]/ { p++ }
    /^not ok [0-9]/ { f++ }
    END { if (node) print np + 0, nf + 0, ns + 0, np + nf + ns
          else print p + 0, f + 0, s + 0, planned == "" ? p + f + s : planned }' "$1"
}

# What a program said wrong beyond its own `not ok` lines.
complaints() {
  local name=$1 passed=$2 failed=$3 skipped=$4 planned=$5 rc
  rc=$(cat "$results/$name.rc")
  if grep -qE "$sanitizer_words" "$results/$name.out" "$results/$name.err"; then
    echo "a sanitizer spoke"
  elif [ "$rc" = 124 ]; then
    echo "ran out of time"
  elif [ "$rc" != 0 ] && [ "$failed" = 0 ]; then
    echo "exited with $rc"
  elif [ $((passed + failed + skipped)) -ne "$planned" ]; then
    echo "planned $planned tests, ran $((passed + failed + skipped))"
  elif [ $((passed + failed)) = 0 ]; then
    echo "ran no test"
  fi
}

# The diagnostics of failed tests if there are any, else all that the program printed.
show_failure() {
  local name=$1
  echo "--- $name"
  if grep -q '^# pass [0-9]' "$results/$name.out"; then
    awk '/^ *not ok/ { on = 1 } on { print } /^ *\.\.\.$/ { on = 0 }' "$results/$name.out" | head -300
  else
    grep -vE '^ok |^1\.\.' "$results/$name.out" | head -200
  fi
  tail -60 "$results/$name.err"
}

total_passed=0 total_failed=0 total_skipped=0

# judge NAME: adds one recorded program to the totals and shows it if it failed.
judge() {
  local name=$1 passed failed skipped planned reasons
  read -r passed failed skipped planned < <(tap_count "$results/$name.out")
  reasons=$(complaints "$name" "$passed" "$failed" "$skipped" "$planned")
  if [ "$failed" != 0 ] || [ -n "$reasons" ]; then
    show_failure "$name"
  fi
  if [ -n "$reasons" ]; then
    printf '%s\n' "$reasons" | sed "s|^|not ok - $name |"
    failed=$((failed + $(printf '%s\n' "$reasons" | wc -l)))
  fi
  total_passed=$((total_passed + passed))
  total_failed=$((total_failed + failed))
  total_skipped=$((total_skipped + skipped))
}

# judge_all PREFIX: every program recorded below it; that there is none is a failure.
judge_all() {
  local rc found=
  while read -r rc; do
    found=yes
    rc=${rc#"$results/"}
    judge "${rc%.rc}"
  done < <(find "$results/$1" -name '*.rc' 2>/dev/null | sort)
  if [ -z "$found" ]; then
    echo "not ok - $1: nothing ran"
    total_failed=$((total_failed + 1))
  fi
}

# More than there are cores: most wait for a server, a timer or a child most of the time.
unit_at_once=4

run_unit() {
  local sources
  sources=$(find tests/unit -name 'test_*.c' | sort)
  for source in $sources; do
    printf '%s\n' "${source%.c}"
  done | xargs -r -P $unit_at_once -I{} bash -c 'name={}; record "unit/${name#tests/unit/}" 120 "build/san/$name"'
  judge_all unit
}

# One test per fuzzer: its corpus and a fixed number of further inputs, always the same ones.
fuzz_one() {
  local name
  name=$(basename "$1" .c)
  rm -rf "build/fuzz-corpus/${name#fuzz_}"
  if tests/fuzz/run.sh "build/fuzz/$name" -seed=1 -runs="$2" -max_total_time="$3" 2>&1; then
    echo "ok 1 - $name"
  else
    echo "not ok 1 - $name"
  fi
}
export -f fuzz_one

# The programs that say what we read, against Node: generated texts, the same ones each time.
compare_with_node() {
  local name
  name=$(basename "$1" .c)
  if tests/e2e/node_modules/.bin/node tests/fuzz/diff_node.mjs "build/san/${1%.c}" "$2" 2>&1; then
    echo "ok 1 - $name agrees with Node"
  else
    echo "not ok 1 - $name agrees with Node"
  fi
}
export -f compare_with_node

run_fuzz() {
  find tests/fuzz -name 'fuzz_*.c' | sort | xargs -r -P 2 -I{} bash -c \
    "record \"fuzz/\$(basename {} .c)\" 120 bash -c 'fuzz_one {} $fuzz_runs $fuzz_seconds'"
  for program in tests/fuzz/*_cli.c; do
    record "fuzz/$(basename "$program" .c)" 120 \
      bash -c "compare_with_node $program $node_texts"
  done
  judge_all fuzz
}

run_sql() {
  HARNESS_VERBOSE=1 record sql 300 tests/sql/run.sh
  judge sql
}

# on_sanitized NAME SECONDS COMMAND…: records it with the program that has sanitizers. They report
# into files, because a worker's standard error may go anywhere.
on_sanitized() {
  local log="$results/sanitizer"
  ASAN_OPTIONS="$ASAN_OPTIONS:log_path=$log" UBSAN_OPTIONS="$UBSAN_OPTIONS:log_path=$log" \
    TOLLGATE_E2E_BINARY="$root/build/san/tollgate" record "$@"
}

judge_sanitizer() {
  for report in "$results/sanitizer".*; do
    [ -e "$report" ] || continue
    echo "--- $report"
    head -60 "$report"
    echo "not ok - $1 a sanitizer spoke"
    total_failed=$((total_failed + 1))
  done
}

# Everything with sanitizers; then, on the program that is installed, what it promises about time.
run_e2e() {
  # How long an idle gateway is measured; alone and in the campaign it is a minute.
  export TOLLGATE_E2E_IDLE_SECONDS=20
  on_sanitized e2e/shared 540 tests/e2e/run.sh shared &
  on_sanitized e2e/own 540 tests/e2e/run.sh own &
  on_sanitized e2e/oauth 540 tests/e2e/run.sh oauth &
  wait
  TOLLGATE_E2E_BINARY="$root/build/tollgate" record e2e/release 240 tests/e2e/run.sh \
    "$root/tests/e2e/matrix.test.mjs" "$root/tests/e2e/start.test.mjs"
  judge_all e2e
  judge_sanitizer e2e
}

# node_test FILE…: what runs test files as they are.
node_test=("$root/tests/e2e/node_modules/.bin/node" --test --test-timeout=300000
  --test-reporter=tap)

# Faults under load, and files of the e2e suite with the requests of each session spread over two
# gateways: on the program that is installed, and at the same time, because they mostly wait. Then a
# sample on the program with sanitizers.
run_fault() {
  local e2e="$root/tests/e2e" fault="$root/tests/fault" spread='TOLLGATE_E2E_SPREAD=1'
  local with="TOLLGATE_E2E_BINARY=$root/build/tollgate"
  record fault/ledgers 60 "${node_test[@]}" "$fault/ledgers.test.mjs"
  local disks=spool-full,spool-faults,postgres-full,postgres-read-only,clock-steps,gateways-killed
  record fault/release 400 env "$with" "SCENARIO=!$disks" "${node_test[@]}" "$fault/fault.test.mjs" &
  record fault/disks 400 env "$with" "SCENARIO=$disks" "${node_test[@]}" "$fault/fault.test.mjs" &
  record fault/spread 200 env "$with" $spread "$e2e/run.sh" "$fault/spread.test.mjs" \
    "$e2e/matrix.test.mjs" "$e2e/wire.test.mjs" "$e2e/tenants.test.mjs" &
  # Its last test compares a whole run of all files with the book: there is none here.
  record fault/spread-book 200 env "$with" $spread "${node_test[@]}" \
    --test-skip-pattern='^the whole run' "$e2e/book.test.mjs" &
  record fault/spread-lifecycle 200 env "$with" $spread "${node_test[@]}" \
    "$e2e/lifecycle.test.mjs" &
  wait
  SCENARIO=kill on_sanitized fault/sanitized 120 "${node_test[@]}" "$fault/fault.test.mjs"
  judge_all fault
  judge_sanitizer fault
}

run_lint() {
  record lint 900 tests/lint/run.sh
  judge lint
}

# A suite's own line never looks like the last one.
run_suite() {
  local suite=$1 passed=$total_passed failed=$total_failed began=$SECONDS
  if ! declare -F "run_$suite" > /dev/null; then
    echo "no suite is called $suite; there are: ${all_suites[*]}" >&2
    exit 2
  fi
  rm -rf "${results:?}/$suite" "$results/$suite".* "$results"/sanitizer.*
  "run_$suite"
  printf '%-5s %5d ok %5d not ok %5d s\n' "$suite" $((total_passed - passed)) \
    $((total_failed - failed)) $((SECONDS - began))
}

mkdir -p "$results"
[ $# -gt 0 ] || set -- "${all_suites[@]}"
for suite in "$@"; do
  run_suite "$suite"
done
[ "$total_skipped" = 0 ] || echo "skipped, so neither passed nor failed: $total_skipped"
echo "$total_passed passed, $total_failed failed"
[ "$total_failed" = 0 ]
