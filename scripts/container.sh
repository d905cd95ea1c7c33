#!/bin/sh
# usage: scripts/container.sh is a part of check-service.sh and check-airgap.sh, which read it
#
# A Debian root, and a container without a network in which its systemd runs. The caller has `die`, and the folder `work`.
# shellcheck shell=sh disable=SC2154

leader='' nspawn='' root=$work/root

# A copy of a Debian root, which is made first where it is not there. Its programs are a plain system's, and those named.
debian_root() {
  base=$1
  shift
  if [ ! -x "$base/usr/lib/systemd/systemd" ]; then
    say "making a Debian root in $base"
    debootstrap --variant=minbase --include="$(echo systemd systemd-sysv dbus procps "$@" | tr ' ' ,)" bookworm "$base" >"$work/debootstrap.log" 2>&1 ||
      { tail -n 5 "$work/debootstrap.log" >&2; die "cannot make a Debian root"; }
  fi
  cp -a "$base" "$root"
}

# Starts the root's systemd, and waits until it runs. The container has no network interface but its own loopback.
boot() {
  SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn --quiet -b -D "$root" --register=no --keep-unit --private-network --console=pipe \
    --system-call-filter=bpf --capability=CAP_BPF,CAP_NET_ADMIN,CAP_SYS_RESOURCE,CAP_PERFMON >"$work/console" 2>&1 </dev/null &
  nspawn=$!
  tries=0
  until leader=$(pgrep --parent "$nspawn" --newest) && inside systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded'; do
    tries=$((tries + 1))
    [ $tries -lt 300 ] || { tail -n 5 "$work/console" >&2; die "the container does not boot"; }
    sleep 0.1
  done
  outside ip link set lo up 2>/dev/null || inside ip link set lo up 2>/dev/null || true
}

# Runs a program of the container.
inside() {
  nsenter --target "$leader" --mount --uts --ipc --net --pid --cgroup -- \
    env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

# Runs a program of this host in the container's network.
outside() { nsenter --target "$leader" --net -- "$@"; }

# Ends the container, where there is one: in order, or at once when that takes too long.
halt() {
  [ -n "$nspawn" ] || return 0
  [ -z "$leader" ] || inside kill -s RTMIN+4 1 2>/dev/null || true
  tries=0
  while kill -0 "$nspawn" 2>/dev/null && [ -n "$leader" ] && [ $tries -lt 300 ]; do
    tries=$((tries + 1))
    sleep 0.1
  done
  kill -s KILL "$nspawn" 2>/dev/null || true
  wait "$nspawn" 2>/dev/null || true
  leader='' nspawn=''
}

# The exit trap of the caller runs after these signals, too.
trap 'exit 130' INT
trap 'exit 143' TERM
