#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A folder includes only what it may know, spelled from the root; a library is included only by
# the files that wrap it. See docs/architecture.md.
source "$(dirname "$0")/common.sh"

# folder: what it may include besides itself and generated headers.
declare -A knows=(
  [base]=''
  [tokenstore]='base'
  [audit]='base'
  [oauth]='base tokenstore audit'
  [gateway/core]='base tokenstore audit oauth'
  [gateway/upstream]='base gateway/core'
  [gateway/http]='base tokenstore audit oauth gateway/core'
  [gateway/app]='base tokenstore audit oauth gateway/core gateway/upstream gateway/http gateway/include/tollgate'
  [gateway/include/tollgate]=''
)

# library header (extended regex): the files that may include it (extended regex).
declare -A wrapped_by=(
  ['h2o([./].*)?']='base/(loop|http_native)[a-z_]*\.[ch]|gateway/http/.*'
  ['curl/.*']='base/(http_curl|url)[a-z_]*\.[ch]'
  ['(libpq-fe|postgres_ext|libpq/.*)\.h']='base/db[a-z_]*\.[ch]|audit/drain[a-z_]*\.[ch]'
  ['yaml\.h']='gateway/app/config_yaml\.[ch]'
  ['openssl/.*']='base/(crypto|tls)[a-z_]*\.[ch]|oauth/jw[a-z_]*\.[ch]'
)

check_own() {
  local file=$1 folder=$2 header=$3 target
  case $header in
  version.h | migrations.h) return ;;
  esac
  target=${header%/*}
  if [ ! -e "$header" ]; then
    echo "$file: \"$header\" does not exist: includes are spelled from the root"
  elif [[ " $folder ${knows[$folder]} " != *" $target "* ]]; then
    echo "$file: $folder/ may not know $header"
  fi
}

check_library() {
  local file=$1 header=$2 library
  for library in "${!wrapped_by[@]}"; do
    if [[ $header =~ ^$library$ && ! $file =~ ^(${wrapped_by[$library]})$ ]]; then
      echo "$file: <$header> only in ${wrapped_by[$library]}"
    fi
  done
}

product_ch | while read -r file; do
  folder=${file%/*}
  if [ -z "${knows[$folder]+set}" ]; then
    echo "$file: $folder/ is no layer"
    continue
  fi
  while read -r quote header; do
    if [ "$quote" = '"' ]; then
      check_own "$file" "$folder" "$header"
    else
      check_library "$file" "$header"
    fi
  done < <(sed -nE 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*(["<])([^">]+)[">].*/\1 \2/p' "$file")
done | { ! grep .; }
