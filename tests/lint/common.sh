# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Sourced by every check. A check prints what it found, one finding per line, and exits 1 if it
# found anything.

set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# What the compiler is called with; `make lint` says it, alone we ask.
if [ -z "${LINT_CFLAGS-}" ]; then
  LINT_CFLAGS=$(make -s --eval 'lint-cflags: ; @echo $(COMMON) $(WARN)' lint-cflags)
fi
export LINT_CFLAGS

# The analyzers see tests/lint/model/ in place of headers that they lose themselves in.
export MODEL=-Itests/lint/model

# Git keeps no empty folder: one without a file is not there.
source_folders=()
for folder in base tokenstore audit oauth gateway; do
  [ ! -d "$folder" ] || source_folders+=("$folder")
done

# The C files of the product, and of the tests.
product_c() { find "${source_folders[@]}" -name '*.c' | sort; }
product_ch() { find "${source_folders[@]}" -name '*.[ch]' | sort; }
tests_ch() { find tests -name node_modules -prune -o -name '*.[ch]' -print | sort; }

# Every file that is or would be committed.
all_files() {
  if git rev-parse --is-inside-work-tree > /dev/null 2>&1; then
    git ls-files --cached --others --exclude-standard | while read -r f; do
      [ ! -e "$f" ] || printf '%s\n' "$f"
    done
  else
    find . \( -name build -o -name .run -o -name node_modules -o -name .git \) -prune \
      -o -type f -print | sed 's|^\./||'
  fi | sort
}

# allowed CHECK FILE TOKEN: whether allow.txt excuses it.
allowed() {
  awk -v c="$1" -v f="$2" -v t="$3" '$1 == c && $2 == f && $3 == t { found = 1 }
    END { exit !found }' tests/lint/allow.txt
}

# each_changed TOOL VERSION COMMAND…: COMMAND FILE for each C file of the product, two at a time,
# but not for those whose preprocessed text passed before. Fails if any of them does.
each_changed() {
  export tool=$1 version=$2
  shift 2
  mkdir -p "build/lint/$tool"
  product_c | xargs -P 2 -I{} tests/lint/unless_passed.sh {} "$@"
}
