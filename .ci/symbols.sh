#!/usr/bin/env bash
# Objects built for newer instruction sets may define nothing that the linker merges with other
# objects: a copy of such a function would run, and crash, on older processors.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
cmake -S . -B "$build" -G Ninja -DSKBUILD_PROJECT_VERSION=0 -DSILVERPRINT_WERROR=ON \
  -Dpybind11_DIR="$(python -m pybind11 --cmakedir)" -DPython_EXECUTABLE="$(command -v python)" >/dev/null
cmake --build "$build" --target silverprint_core >/dev/null
found=0
for object in $(find "$build" -name 'avx*.o'); do
  if nm -C "$object" | grep -E ' [WVu] '; then
    echo "$object defines the symbols above"
    found=1
  fi
done
exit "$found"
