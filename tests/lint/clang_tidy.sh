#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# clang-tidy over the product with the checks of .clang-tidy: no finding. Only the findings
# themselves are shown; for the reasoning run clang-tidy on the file.
source "$(dirname "$0")/common.sh"
# shellcheck disable=SC2016  # expanded by the inner shell
each_changed clang_tidy "$(clang-tidy --version | tail -n +2; sha256sum .clang-tidy)" \
  bash -c 'clang-tidy --quiet "$0" -- $MODEL $LINT_CFLAGS 2>/dev/null | grep -E "(error|warning): " |
    sed "s|^$PWD/||"; exit "${PIPESTATUS[0]}"'
