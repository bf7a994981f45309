#!/usr/bin/env bash
# test: label=fast
# The arrows between rooms: every quoted include points to the room itself or to one that it may know.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
declare -A may=(
    [core]="core"
    [device]="device core"
    [nn]="nn device core"
    [model]="model nn device core"
    [data]="data core"
    [record]="record core"
    [train]="train model nn device data record core"
    [cli]="cli train model nn device data record core"
)
bad=0
check() { # room, file, allowed rooms
    local include
    while IFS= read -r include; do
        local room=${include%%/*}
        case " $3 " in *" $room "*) ;; *) echo "$2 includes \"$include\": $1 may know only: $3"; bad=1 ;; esac
    done < <(sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"\([^"]*\/[^"]*\)".*/\1/p' "$2")
}
for room in "${!may[@]}"; do
    while IFS= read -r file; do check "$room" "$file" "${may[$room]}"; done < <(find "src/$room" -name '*.[ch]' -o -name '*.cc' -o -name '*.inc' | grep "^src/$room/")
done
while IFS= read -r file; do check analysis "$file" "analysis record core"; done < <(find analysis -name '*.[ch]')
if grep -rnE '#include *[<"](cuda|cublas|nccl)' src analysis; then bad=1; fi
[ "$bad" -eq 0 ] && echo "ok: no arrow points back"
exit "$bad"
