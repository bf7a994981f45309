#!/usr/bin/env bash
# Configures and builds into build/ (or $MOE_BUILD_DIR), all or $MOE_BUILD_TARGETS. Further arguments go to cmake.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${MOE_BUILD_DIR:-build}
cmake -S . -B "$build" -G Ninja "$@" >"$build.configure.log" 2>&1 || { cat "$build.configure.log" >&2; exit 1; }
mv "$build.configure.log" "$build/configure.log"
read -ra targets <<<"${MOE_BUILD_TARGETS:-all}"
cmake --build "$build" --target "${targets[@]}"
