#!/usr/bin/env bash
# The core and its binding under AddressSanitizer and UndefinedBehaviorSanitizer, and all that
# threads share under ThreadSanitizer. Uses the Python environment that is active, which holds
# pybind11, cmake, ninja and what the tests need. Sanitizers stop at their first finding.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'wait; rm -rf "$work"' EXIT
unset SILVERPRINT_ISA SILVERPRINT_THREADS CXXFLAGS LDFLAGS
export CXX=g++

build() {  # folder, sanitizers, targets, more for CMake
  cmake -S tests/native/sanitized -B "$work/$1" -G Ninja -DCMAKE_BUILD_TYPE=None -DSILVERPRINT_WERROR=ON \
    -DCMAKE_CXX_FLAGS="-O1 -g1 -fno-omit-frame-pointer -fsanitize=$2 -fno-sanitize-recover=all" "${@:4}" >/dev/null
  cmake --build "$work/$1" --target $3 | { grep -E 'error|warning|FAILED' || true; }
}
library() { g++ -print-file-name="$1"; }

build asan address,undefined all -DSILVERPRINT_PYTHON=ON -DCMAKE_INTERPROCEDURAL_OPTIMIZATION=OFF \
  -Dpybind11_DIR="$(python -m pybind11 --cmakedir)" -DPython_EXECUTABLE="$(command -v python)"
export UBSAN_OPTIONS=print_stacktrace=1
for program in kernels pictures solvers threads c_api; do
  ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1 "$work/asan/$program"
done

build tsan thread "threads c_api" &  # while the tests, which use one core, run
tsan=$!

# The interpreter is not instrumented and keeps memory on purpose, so leaks are looked for above only;
# its libraries expect malloc to fail rather than abort. libstdc++ comes early because the sanitizer
# takes over its throw.
mkdir "$work/python"
cp -r python/silverprint "$work/python/"
rm -f "$work"/python/silverprint/_core*.so
cp "$work"/asan/silverprint/_core*.so "$work/python/silverprint/"
export PYTHONPATH=$work/python PYTHONMALLOC=malloc
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:log_path=$work/report
export UBSAN_OPTIONS=$UBSAN_OPTIONS:log_path=$work/report
preload="$(library libasan.so) $(library libstdc++.so)"
LD_PRELOAD=$preload python - "$work" <<'END'
import sys
from silverprint import _core
assert _core.__file__.startswith(sys.argv[1]), f"{_core.__file__} is not the one under test"
END
LD_PRELOAD=$preload python -m pytest -q -p no:cacheprovider \
  tests/test_kernels.py tests/test_image_prepare.py tests/test_augmentation.py \
  tests/test_logistic_regression.py tests/test_multilayer_perceptron.py tests/test_runtime.py \
  tests/test_process.py || passed=no
# A finding in a process that a test starts counts, too, whatever the test makes of it.
if compgen -G "$work/report*" >/dev/null; then
  cat "$work"/report*
  exit 1
fi
[ -z "${passed:-}" ] || exit 1
unset ASAN_OPTIONS UBSAN_OPTIONS PYTHONPATH PYTHONMALLOC

wait "$tsan"
for program in threads c_api; do
  TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1 "$work/tsan/$program"
done
