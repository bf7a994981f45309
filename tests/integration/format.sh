#!/usr/bin/env bash
# test: label=fast
# Every C and C++ file stands as clang-format 14 lays it out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
tool=$(command -v clang-format-14 || command -v clang-format || true)
[ -n "$tool" ] && "$tool" --version | grep -q 'version 14\.' || { echo "skipped: no clang-format 14 here"; exit 77; }
folders=(src analysis tests)
[ ! -d cuda ] || folders+=(cuda)
find "${folders[@]}" -name '*.[ch]' -o -name '*.cc' -o -name '*.cu' -o -name '*.cuh' | xargs "$tool" --dry-run -Werror
echo "ok"
