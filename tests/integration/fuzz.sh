#!/usr/bin/env bash
# test: label=slow
# Every fuzz target for a short while ($MOE_FUZZ_SECONDS, default 15); skipped where clang is absent.
set -euo pipefail
exec bash "$(dirname "${BASH_SOURCE[0]}")/../fuzz/run.sh" "$1" "${MOE_FUZZ_SECONDS:-15}"
