#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The SQL that docs/audit.md shows, as one JSON object: {"slow-tools": "SELECT …", "1": "…"}. A block
# whose first line is `-- name` is called that, the others have numbers.
set -eu
cd "$(dirname "$0")/../.."
awk '
  function json(text) {
    gsub(/\\/, "\\\\", text); gsub(/"/, "\\\"", text); gsub(/\n/, "\\n", text); gsub(/\t/, "\\t", text)
    return "\"" text "\""
  }
  /^```sql$/ { on = 1; first = 1; block = ""; name = ""; next }
  /^```$/ && on {
    on = 0
    sub(/;[ \n]*$/, "", block)
    printf "%s%s:%s", n++ ? "," : "{", json(name != "" ? name : ++unnamed), json(block)
    next
  }
  on && first { first = 0; if ($0 ~ /^-- [a-z]+(-[a-z]+)*$/) { name = substr($0, 4); next } }
  on { block = block $0 "\n" }
  END { print n ? "}" : "{}" }
' docs/audit.md
