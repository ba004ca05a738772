#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# No mutable state outside of functions' frames and the heap: what the compiler put into a
# writable section is a global or a static. (Needs the objects of `make build`.) Exceptions stand
# in allow.txt.
source "$(dirname "$0")/common.sh"

# Names in writable sections; tables of pointers lie in .data.rel.ro, which is read-only at run
# time. A static inside a function is called name.1234.
mutable_names() {
  objdump -t "$1" | grep -E '[[:space:]]\.(data|bss|tdata|tbss)' | grep -vF .data.rel.ro |
    awk '$NF !~ /^\./ { sub(/\.[0-9]+$/, "", $NF); print $NF }'
}

product_c | while read -r file; do
  object=build/obj/${file%.c}.o
  if [ ! -e "$object" ]; then
    echo "$file: not compiled; run make build"
    continue
  fi
  mutable_names "$object" | while read -r name; do
    allowed state "$file" "$name" || echo "$file: mutable state: $name"
  done
done | { ! grep .; }
