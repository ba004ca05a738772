#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every C file is as .clang-format lays it out. Mend with: clang-format -i FILE
source "$(dirname "$0")/common.sh"
if output=$({ product_ch; tests_ch; } |
  xargs -P 2 -n 40 clang-format --dry-run --Werror 2>&1); then
  exit 0
fi
printf '%s\n' "$output" | sed -E 's/^([^:]+):.*\[-Wclang-format-violations\]$/\1: not formatted/; t; d' |
  sort -u | grep . || printf '%s\n' "$output"
exit 1
