#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What `make install` installs as a unit is one, and leaves the service little that it could do.
source "$(dirname "$0")/common.sh"

max_exposure=15 # of 100
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
{
  make -s install DESTDIR="$root" PREFIX=/usr &&
    unit=$root/usr/lib/systemd/system/tollgate.service &&
    grep -q '^ExecStart=/usr/bin/tollgate serve$' "$unit" &&
    # The program has to be where the unit says.
    sed "s|=/usr/bin/tollgate|=$root/usr/bin/tollgate|" "$unit" > "$root/tollgate.service" &&
    systemd-analyze verify --man=no "$root/tollgate.service" &&
    systemd-analyze security --offline=yes --threshold=$max_exposure "$root/tollgate.service" \
      > "$root/exposure"
} 2>&1 || {
  echo "packaging/systemd/tollgate.service"
  tail -1 "$root/exposure" 2> /dev/null
  exit 1
}
