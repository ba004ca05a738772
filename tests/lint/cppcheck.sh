#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# cppcheck over the product: no finding, no suppression beyond headers that it cannot see.
source "$(dirname "$0")/common.sh"
mkdir -p build/lint/cppcheck
product_c | cppcheck --quiet -j 2 --file-list=- --cppcheck-build-dir=build/lint/cppcheck \
  --enable=warning,performance,portability --std=c11 --language=c "$MODEL" -I. -Ibuild/gen \
  -D_GNU_SOURCE -DH2O_USE_LIBUV=0 --error-exitcode=1 --suppress=missingIncludeSystem \
  --template='{file}:{line}: {severity}: {message} [{id}]' --template-location=''
