#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# gcc -fanalyzer over the product: no finding. Its reasoning: the same command on one file without
# -fdiagnostics-path-format=none.
source "$(dirname "$0")/common.sh"
# shellcheck disable=SC2086
each_changed analyzer "$(gcc --version | head -n 1)" \
  gcc $MODEL $LINT_CFLAGS -O2 -fanalyzer -fdiagnostics-plain-output -fdiagnostics-path-format=none \
  -c -o /dev/null
