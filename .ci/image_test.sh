#!/usr/bin/env bash
# Run the image on a folder: input read-only, no network, a user the image does not know.
# usage: ENGINE=docker|podman|buildah IMAGE=verse image_test.sh INPUT OUTPUT
set -euo pipefail
input=$(realpath "$1")
rm -rf "$2"
mkdir -p "$2"
output=$(realpath "$2")
user=12345:12345
chown "$user" "$output" 2>/dev/null || chmod 1777 "$output"
if [ "$ENGINE" = buildah ]; then
  container=$(buildah from "$IMAGE")
  trap 'buildah rm "$container" >/dev/null' EXIT
  # buildah runs no entrypoint by itself: repeat the image's. The variables are what Apptainer may hand in.
  buildah run --isolation "${BUILDAH_ISOLATION:-chroot}" --user "$user" \
    -v "$input:/data:ro" -v "$output:/output" "$container" -- \
    env PYTHONPATH=/data PYTHONHOME=/data LD_LIBRARY_PATH=/data \
    /opt/venv/bin/python -I -B -u /opt/verse/entrypoint.py
  buildah run --isolation "${BUILDAH_ISOLATION:-chroot}" "$container" -- \
    grep -q '"tensorflow' /opt/verse/sbom.cdx.json
else
  # As grand-challenge.org runs it; docker alone always has an init.
  rules=(-e PYTHONPATH=/data -e PYTHONHOME=/data -e LD_LIBRARY_PATH=/data)
  rules+=(--network none --read-only --memory 16g --cap-drop ALL --security-opt no-new-privileges)
  [ "$ENGINE" = docker ] && rules+=(--init)
  "$ENGINE" run --rm "${rules[@]}" --user "$user" \
    -v "$input:/data:ro" -v "$output:/output" "$IMAGE"
fi
find "$output" -type f
if find "$output" -type f ! -uid "${user%%:*}" | grep -q .; then
  echo "outputs do not belong to the user the container ran as"
  exit 1
fi
