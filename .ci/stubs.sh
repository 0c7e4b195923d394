#!/usr/bin/env bash
# Writes the extension's stubs, or with --check compares them with those checked in.
set -euo pipefail
cd "$(dirname "$0")/.."
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
python -m pybind11_stubgen silverprint._core -o "$made" --numpy-array-use-type-var >/dev/null
ruff format --quiet --isolated --line-length 100 "$made"
if [ "${1:-}" = --check ]; then
  diff -r "$made/silverprint/_core" python/silverprint/_core ||
    { echo "stubs and extension differ: run .ci/stubs.sh and commit"; exit 1; }
else
  rm -rf python/silverprint/_core
  cp -r "$made/silverprint/_core" python/silverprint/_core
fi
