#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run.sh FUZZER [LIBFUZZER OPTION…]: one fuzzer over its corpus, tests/fuzz/corpus/<name>/.
# New inputs go to build/fuzz-corpus/, what breaks it to build/test-results/fuzz/.
set -eu
cd "$(dirname "$0")/../.."
fuzzer=$1
shift
name=$(basename "$fuzzer")
name=${name#fuzz_}
found=build/fuzz-corpus/$name
mkdir -p "$found" build/test-results/fuzz "tests/fuzz/corpus/$name"
export ASAN_OPTIONS="detect_leaks=1:allocator_may_return_null=0"
export UBSAN_OPTIONS="print_stacktrace=1"
exec "$fuzzer" -timeout=10 -rss_limit_mb=2048 -print_final_stats=0 \
  -artifact_prefix="build/test-results/fuzz/$name-" "$@" "$found" "tests/fuzz/corpus/$name"
