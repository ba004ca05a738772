#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Nothing committed names one person's machine, a package registry or unfinished work.
# (A bracket in a pattern keeps it from finding itself.)
source "$(dirname "$0")/common.sh"

patterns=(
  '(^|[^A-Za-z0-9_.])/(hom[e]|Use[r]s)/[a-z]'    # home directories
  '(^|[^A-Za-z0-9_.])/(wor[k]|far[m]|roo[t])/'   # other people's top-level folders
  '/tmp/t[g]/'
  'registry[.](npmj[s]|yarnpk[g])'
  '"resolve[d]":'                                # a lock file with download addresses
  '[Cc]o-[Aa]uthored-[Bb]y:|Generated wit[h]'
  '\b(TOD[O]|FIXM[E]|XX[X])\b'
)
for pattern in "${patterns[@]}"; do
  all_files | grep -v '^LICENSE$' | tr '\n' '\0' | xargs -0 grep -nIE -- "$pattern" | cut -c1-160
done | { ! grep .; }
