#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every C file is as .clang-format lays it out. Mend with: clang-format -i FILE
source "$(dirname "$0")/common.sh"
for file in $(product_ch) $(tests_ch); do
  clang-format "$file" | cmp -s - "$file" || echo "$file: not formatted"
done | { ! grep .; }
