#!/usr/bin/env bash
# Build and test the image with buildah on a machine without an engine daemon. The base is a Debian
# root file system made by debootstrap, so that no image registry is needed.
set -euo pipefail
cd "$(dirname "$0")/.."
for tool in buildah debootstrap; do
  if ! command -v "$tool" >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
      apt-get update -qq
      DEBIAN_FRONTEND=noninteractive apt-get install -qq -y buildah debootstrap >/dev/null
    else
      echo "image build: $tool is missing and cannot be installed without root and apt-get"
      exit 1
    fi
  fi
done
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=${STORAGE_DRIVER:-vfs}
base=verse-base-bookworm
if ! buildah inspect --type image "$base" >/dev/null 2>&1; then
  root=$(mktemp -d)
  # The mirror this machine uses itself.
  mirror=$({ cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null || true; } |
    grep -oE '^(deb |URIs:).*' | grep -oE 'https?://[^ ]+' | head -n 1)
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$root" "$mirror" >/dev/null
  container=$(buildah from scratch)
  buildah copy -q "$container" "$root" / >/dev/null
  buildah commit -q "$container" "$base" >/dev/null
  buildah rm "$container" >/dev/null
  rm -rf "$root"
fi
# pip inside the build trusts what this machine trusts.
flags="--volume /etc/ssl/certs:/etc/ssl/certs:ro"
[ -n "${PIP_CERT:-}" ] && flags="$flags --build-arg PIP_CERT=$PIP_CERT"
make image ENGINE=buildah BASE_IMAGE="localhost/$base" BUILD_FLAGS="$flags" IMAGE=verse-ci
make image-test ENGINE=buildah IMAGE=verse-ci
buildah rmi verse-ci >/dev/null
