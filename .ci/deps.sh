#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Installs the Debian packages that are missing.
#
#   deps.sh run     what building and running needs
#   deps.sh test    what the tests and checks need besides, npm packages included
#   deps.sh line    prints the command that installs the first kind
#
# Does nothing, quickly, when all is there. Needs root or sudo only when something is missing.
set -eu
cd "$(dirname "$0")/.."

run="gcc libc6-dev make pkg-config ca-certificates libh2o-evloop-dev libcurl4-openssl-dev
  libpq-dev libjansson-dev libssl-dev libyaml-dev uthash-dev postgresql-15"
test="libcmocka-dev postgresql-15-pgtap pgtap clang clang-format clang-tidy libclang-rt-dev llvm
  cppcheck valgrind universal-ctags systemd chromium"

# Prints those of its arguments that dpkg does not have installed.
missing() {
  for package in "$@"; do
    case " $(dpkg-query -W -f='${db:Status-Status} ' "$package" 2>/dev/null)" in
    *" installed "*) ;;
    *) echo "$package" ;;
    esac
  done
}

apt_install() {
  DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 \
    -o Dpkg::Use-Pty=0 install -y --no-install-recommends "$@"
}

# As root. No service may start because of us, and the PostgreSQL package may not make a cluster:
# the development start keeps one of its own.
install_as_root() {
  policy=/usr/sbin/policy-rc.d
  clusters=/etc/postgresql-common/createcluster.conf
  made_policy= changed_clusters=
  trap '[ -z "$made_policy" ] || rm -f "$policy"
    [ -z "$changed_clusters" ] || sed -i "/# set by tollgate deps/d" "$clusters"' EXIT
  apt-get -q update
  if [ ! -e "$policy" ]; then
    made_policy=yes
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
  fi
  case " $* " in
  *" postgresql-15 "*)
    apt_install postgresql-common
    changed_clusters=yes
    echo 'create_main_cluster = false # set by tollgate deps' >> "$clusters"
    ;;
  esac
  apt_install "$@"
}

install_packages() {
  [ $# -gt 0 ] || return 0
  if ! command -v apt-get >/dev/null; then
    echo "This is no Debian; install by other means: $*" >&2
    exit 1
  fi
  echo "  APT     $*"
  if [ "$(id -u)" = 0 ]; then
    sh .ci/deps.sh as-root "$@"
  elif command -v sudo >/dev/null; then
    sudo sh .ci/deps.sh as-root "$@"
  else
    echo "Neither root nor sudo. As root: apt-get install $*" >&2
    exit 1
  fi
}

npm_works() {
  npm --version >/dev/null 2>&1
}

# The tests bring their own Node as an npm package; any npm will do to fetch it. Debian's runs with
# the first node of the PATH: one that cannot run it is left alone and stepped over.
install_npm_packages() {
  lock=tests/e2e/package-lock.json
  [ -e "$lock" ] || return 0
  stamp=tests/e2e/node_modules/.installed-$(sha256sum < "$lock" | cut -c1-16)
  [ ! -e "$stamp" ] || return 0
  echo "  NPM     tests/e2e"
  npm_works || PATH=/usr/bin:$PATH
  (cd tests/e2e && npm ci --no-audit --no-fund --loglevel=error)
  touch "$stamp"
}

case ${1-} in
run)
  # shellcheck disable=SC2046,SC2086  # lists of words
  install_packages $(missing $run)
  ;;
test)
  node=
  npm_works || node="nodejs npm"
  # shellcheck disable=SC2046,SC2086
  install_packages $(missing $test $node)
  install_npm_packages
  ;;
line)
  # shellcheck disable=SC2086
  echo "sudo apt install" $run
  ;;
as-root)
  shift
  install_as_root "$@"
  ;;
*)
  echo "usage: deps.sh run|test|line" >&2
  exit 2
  ;;
esac
