#!/usr/bin/env bash
# Installs what scripts/packages.txt (or the lists given) names and this system lacks. Does nothing, and needs no network,
# when all is there.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if ! command -v dpkg-query >/dev/null; then
    echo "install: this is no Debian or Ubuntu system; install the libraries of scripts/packages.txt yourself and use --no-install" >&2
    exit 1
fi

have() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

lists=("$@")
[ $# -gt 0 ] || lists=("$here/packages.txt")
missing=()
while IFS= read -r line; do
    line=${line%%#*}
    [ -n "${line// /}" ] || continue
    found=
    for name in ${line//|/ }; do
        if have "$name"; then found=1; fi
    done
    [ -n "$found" ] || missing+=("$line")
done < <(cat "${lists[@]}")

if [ ${#missing[@]} -eq 0 ]; then
    echo "install: everything is there"
    exit 0
fi

sudo=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "install: not root and no sudo; install these and use --no-install: ${missing[*]}" >&2; exit 1; }
    sudo=sudo
fi
echo "install: ${missing[*]}"
$sudo apt-get update -qq
names=()
for line in "${missing[@]}"; do
    chosen=
    for name in ${line//|/ }; do
        if [ -z "$chosen" ] && apt-cache show "$name" >/dev/null 2>&1; then chosen=$name; fi
    done
    [ -n "$chosen" ] || { echo "install: this release has none of: $line" >&2; exit 1; }
    names+=("$chosen")
done
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${names[@]}"
