#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What README and docs/ name exists: make targets, commands of the program, files linked to.
source "$(dirname "$0")/common.sh"

documents=(README.md $(find docs -name '*.md' | sort))

# Code spans and code blocks, one per line: what a reader may copy.
code() {
  perl -ne 'if (/^\s*```/) { $in = !$in; next }
    if ($in) { print } else { print "$1\n" while /`([^`]+)`/g }' "$1"
}

targets=$(sed -nE 's/^\.PHONY: //p' Makefile | tr '\n' ' ')
commands=
[ ! -x build/tollgate ] || commands=$(build/tollgate help 2>&1)

for document in "${documents[@]}"; do
  while read -r target; do
    [[ " $targets " == *" $target "* ]] || echo "$document: no target: make $target"
  done < <(code "$document" | grep -oP '(^|[^\w/-])make \K[a-z][a-z-]*')

  if [ -n "$commands" ]; then
    while read -r command; do
      grep -qE "(^|[^a-z-])$command([^a-z-]|$)" <<< "$commands" ||
        echo "$document: no command: tollgate $command"
    done < <(code "$document" | grep -oP '^\s*(\$ |sudo )?(build/)?tollgate \K[a-z][a-z-]+')
  fi

  while read -r link; do
    [ -e "$(dirname "$document")/$link" ] || echo "$document: dead link: $link"
  done < <(grep -oP '\]\(\K[^)#]+' "$document" | grep -vE '^[a-z]+:')
done | sort -u | { ! grep .; }
