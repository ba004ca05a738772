#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Functions over 70 lines and files over 600 fail; from 50 and 450 on they are mentioned.
source "$(dirname "$0")/common.sh"

measure() {
  # shellcheck disable=SC2046
  ctags -x --language-force=C --c-kinds=f --_xformat='%{end} %n %F:%n %N' $(product_ch) $(tests_ch) |
    awk '{ print "function", $1 - $2 + 1, $3, $4 }'
  # shellcheck disable=SC2046
  wc -l $(product_ch) $(tests_ch) | awk '$2 != "total" { print "file", $1, $2 }'
}

measure | sort -k1,1 -k2,2nr | awk '
  { limit = $1 == "function" ? 70 : 600; wish = $1 == "function" ? 50 : 450 }
  $2 > limit { print $3 ": " ($4 ? $4 " has " : "") $2 " lines, over " limit; failed = 1; next }
  $2 > wish { print "(" $3 ": " ($4 ? $4 " has " : "") $2 " lines)" }
  END { exit failed }'
