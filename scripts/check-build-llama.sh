#!/bin/sh
# usage: scripts/check-build-llama.sh [--write]
#
# Compares the commands of scripts/build-llama.sh, for hosts with and without toolkits and devices, with
# tests/golden/build-llama.txt; --write makes that file anew. The hosts are folders of small stand-ins for the tools.
set -eu

cd "$(dirname "$0")/.."
golden=tests/golden/build-llama.txt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir "$work/base" "$work/dri"
: >"$work/dri/renderD128"
for tool in sh sed tr grep sort find head cut dirname basename uname cat printf; do
  place=$(command -v "$tool") && case $place in /*) ln -s "$place" "$work/base/$tool" ;; esac
done

# A tool of a host: what it prints.
tool() {
  mkdir -p "$work/$1"
  printf '#!/bin/sh\ncat <<END\n%s\nEND\n' "$3" >"$work/$1/$2"
  chmod +x "$work/$1/$2"
}
tool nvidia nvidia-smi '8.9'
tool nvidia-toolkit nvcc ''
tool amd rocminfo '  Name:                    gfx1100'
tool amd-toolkit hipcc ''
tool vulkan-toolkit glslc ''
tool mac uname Darwin

# The commands on a host that has these tools; the source's own numbers are not its matter.
host() {
  title=$1 tools=$2 release=$3 dri=$4
  shift 4
  path=
  for folder in $tools; do path=$path$work/$folder:; done
  printf '== %s: build-llama.sh%s\n' "$title" "$(printf ' %s' "$@")"
  printf 'ID=%s\n' "$release" >"$work/release"
  env -i PATH="$path$work/base" HOME="$work" OS_RELEASE="$work/release" DRI="$work/$dri" CUDA_HOME=/nowhere \
    SOURCE_COMMIT=0123456789 SOURCE_BUILD=1 sh scripts/build-llama.sh --source SOURCE --dry-run "$@" 2>&1 | sed "s|$work|/host|g"
}

{
  host "nothing" "" debian none
  host "NVIDIA" "nvidia nvidia-toolkit" debian none
  for release in debian fedora rhel arch; do host "NVIDIA without a toolkit, $release" nvidia $release none; done
  host "AMD" "amd amd-toolkit" debian none
  for release in debian fedora rhel arch; do host "AMD without a toolkit, $release" amd $release none; done
  host "Vulkan" vulkan-toolkit debian dri
  host "Vulkan without a toolkit" "" fedora dri
  host "macOS" mac debian none
  for backend in cpu cuda rocm vulkan metal; do host "no device" "nvidia-toolkit" debian none --backend $backend; done
  host "a list" nvidia-toolkit debian none --backend cuda --arch "86;90"
} >"$work/found"

if [ "${1:-}" = --write ]; then
  mkdir -p "$(dirname "$golden")"
  cp "$work/found" "$golden"
else
  diff -u "$golden" "$work/found" || { printf 'the commands have changed; if they should: scripts/check-build-llama.sh --write\n' >&2; exit 1; }
fi
