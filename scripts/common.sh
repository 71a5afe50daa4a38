# Shared by the shell scripts beside it. Source it; it only sets names.
# shellcheck shell=bash

HANSE_CACHE=${HANSE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hanse}
REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export HANSE_CACHE

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }
is_root() { [ "$(id -u)" = 0 ]; }
has() { command -v "$1" >/dev/null 2>&1; }

# apt_install PACKAGE...: install for good, without starting the daemons that the packages bring.
# Their own init scripts would start them with settings that are not ours.
apt_install() {
  is_root || die "needs root to install: $*"
  has apt-get || die "install by hand (no apt-get here): $*"
  local guard=/usr/sbin/policy-rc.d made='' log=$HANSE_CACHE/log/apt.log
  mkdir -p "$HANSE_CACHE/log"
  if [ ! -e $guard ]; then
    printf '#!/bin/sh\nexit 101\n' >$guard
    chmod +x $guard
    made=1
  fi
  say "installing $*"
  { DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" ||
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"; }; } \
    >"$log" 2>&1 </dev/null
  local rc=$?
  [ -z "$made" ] || rm -f $guard
  [ $rc = 0 ] || { tail -n 5 "$log" >&2; die "apt-get failed, all of it in $log"; }
}
