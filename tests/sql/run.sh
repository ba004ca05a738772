#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# tests/sql/run.sh [FILE...]
#
# Migrates two databases of a private cluster, one as a superuser (development) and one as
# tollgate_owner with the roles made beforehand (production), and runs the pgTAP tests in both. A third
# one had rows before migration 0016: afterwards they are there, and its schema is the same.
# The program migrates if it has been built, else psql does. As root the cluster runs as postgres.

set -eu
cd "$(dirname "$0")/../.."

bin=/usr/lib/postgresql/15/bin
# Short, because the path of a unix socket may have 107 bytes.
dir=$(mktemp -d /tmp/tgsql.XXXXXX)
as=
if [ "$(id -u)" = 0 ]; then
  as='setpriv --reuid=postgres --regid=postgres --clear-groups'
  chown postgres: "$dir"
fi

stop() {
  (cd / && $as $bin/pg_ctl -D "$dir/data" -m immediate stop >/dev/null 2>&1) || :
  rm -rf "$dir"
}
trap stop EXIT
trap 'exit 1' HUP INT TERM

(
  cd /
  $as $bin/initdb -D "$dir/data" -U postgres -A trust --no-sync -E UTF8 --locale=C.UTF-8
  $as $bin/pg_ctl -D "$dir/data" -w -l "$dir/log" \
    -o "-c listen_addresses= -c unix_socket_directories=$dir -c fsync=off" start
) >"$dir/init.log" 2>&1 || {
  cat "$dir/init.log" >&2
  exit 1
}

export PGHOST="$dir" PGUSER=postgres PGOPTIONS='-c client_min_messages=warning'
unset PGPORT PGDATABASE PGSERVICE PGPASSFILE
sql() {
  psql -X -q -v ON_ERROR_STOP=1 "$@"
}

# apply DATABASE ROLE [FILES]
apply() {
  if [ -x build/tollgate ]; then
    build/tollgate migrate --database "host=$dir dbname=$1 user=$2"
    return
  fi
  for file in ${3:-migrations/[0-9]*.sql}; do
    sql -U "$2" -d "$1" -1 -f "$file" || {
      echo "run.sh: $file failed as $2" >&2
      return 1
    }
  done
}

# migrate DATABASE ROLE [FILES]
migrate() {
  apply "$@" >"$dir/migrate.log" || {
    cat "$dir/migrate.log" >&2
    return 1
  }
  sql -d "$1" -c 'CREATE EXTENSION pgtap' -c 'CREATE EXTENSION dblink'
}

sql -d postgres -c 'CREATE DATABASE development'
migrate development postgres
sql -d postgres -c 'CREATE DATABASE production OWNER tollgate_owner'
migrate production tollgate_owner

# upgrade DATABASE ROLE: one with rows, of the schema before there were chains
upgrade() {
  for file in migrations/000*.sql migrations/001[0-5]_*.sql; do
    name=${file#migrations/}
    sha=$(sha256sum "$file")
    sql -U "$2" -d "$1" -1 -f "$file" -c "INSERT INTO tollgate.tollgate_migrations (version, name, sha256)
      VALUES ('${name%%_*}'::int, '$name', '${sha%% *}')"
  done
  sql -d "$1" -f tests/sql/upgrade/before.psql
  migrate "$1" "$2" 'migrations/001[6-9]_*.sql migrations/00[2-9]?_*.sql'
}

schema() {
  pg_dump -s -N audit_parts -d "$1" | grep -v '^\\\(un\)\?restrict '
}

sql -d postgres -c 'CREATE DATABASE upgraded'
upgrade upgraded postgres >"$dir/upgrade.log"
schema development >"$dir/new.sql"
schema upgraded >"$dir/old.sql"
diff "$dir/new.sql" "$dir/old.sql"

# Readers of the tests; roles belong to the cluster.
sql -d postgres -f tests/sql/readers.psql

[ $# -gt 0 ] || {
  echo '# upgraded'
  pg_prove -d upgraded tests/sql/upgrade/rows.sql
  set -- tests/sql/*.sql
}
for database in development production; do
  echo "# $database"
  pg_prove -d "$database" "$@"
done
