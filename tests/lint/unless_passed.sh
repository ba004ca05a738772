#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# unless_passed.sh FILE COMMAND…: runs COMMAND FILE unless the same text passed the same tool
# (environment: tool, version, MODEL, LINT_CFLAGS) before. Prints its output only if it fails.
set -u
seconds=120
file=$1
shift
# shellcheck disable=SC2086
key=$({ echo "$version $* $LINT_CFLAGS"; gcc $MODEL $LINT_CFLAGS -E "$file" 2>&1; } | sha256sum)
stamp=build/lint/$tool/${key%% *}
[ ! -e "$stamp" ] || exit 0
if output=$(timeout "$seconds" "$@" "$file" 2>&1); then
  touch "$stamp"
else
  [ $? != 124 ] || output="$file: not done after $seconds s"
  printf '%s\n' "$output"
  exit 1
fi
