#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every source file says its licence: C in the first line, others within the first three.
source "$(dirname "$0")/common.sh"
all_files | while read -r file; do
  case $file in
  *.c | *.h)
    [ "$(head -n 1 "$file")" = '/* SPDX-License-Identifier: Apache-2.0 */' ] ||
      echo "$file: first line is not /* SPDX-License-Identifier: Apache-2.0 */"
    ;;
  Makefile | *.sql | *.sh | *.mjs | *.js | *.pl | *.css | .ci/run)
    head -n 3 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' ||
      echo "$file: no SPDX line in the first three"
    ;;
  esac
done | { ! grep .; }
