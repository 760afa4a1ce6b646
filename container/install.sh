#!/bin/bash
# install.sh SOURCE TARGET: what an image holds beyond its base, as a virtual environment at TARGET.
# Dockerfile and container/alignsec.def run it, and so do the tests, in a folder of their own.
set -euo pipefail
source=$(realpath "$1") target=$2
uv=0.13.9
python3 -m venv "$target"
"$target/bin/python" -m pip install --quiet --no-cache-dir "uv==$uv"
cache=(--no-cache) # it would double the layer
[ -z "${UV_KEEP_CACHE:-}" ] || cache=()
"$target/bin/uv" pip install --quiet "${cache[@]}" --python "$target/bin/python" --require-hashes \
  -r "$source/requirements.lock"
"$target/bin/uv" pip install --quiet "${cache[@]}" --python "$target/bin/python" --no-deps "$source"
cp "$source/quiet.pth" "$("$target/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
