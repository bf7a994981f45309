#!/usr/bin/env python3
"""Checks safetensors files written by this project against the reference implementation.

    pip install -r tests/golden/requirements.txt
    python tests/golden/check_safetensors.py FILE...

Each file must open in the `safetensors` package, be rewritten by it to the same bytes (when it carries at most one
metadata entry, whose order the package does not promise), and match its own checksum where it has one: XXH3-128 of the
whole file with the 32 digits of the value set to '0'.
"""
import json
import re
import struct
import sys

import safetensors.numpy
import xxhash


def check(path):
    with open(path, "rb") as file:
        content = file.read()
    tensors = safetensors.numpy.load(content)
    length = struct.unpack("<Q", content[:8])[0]
    metadata = json.loads(content[8:8 + length]).get("__metadata__", {})
    notes = [f"{len(tensors)} tensors"]
    if len(metadata) <= 1:
        again = safetensors.numpy.save(tensors, metadata or None)
        if again != content:
            raise SystemExit(f"{path}: the reference implementation writes other bytes")
        notes.append("same bytes as the reference implementation")
    if "xxh3_128" in metadata:
        blank = re.sub(rb'("xxh3_128":")[0-9a-f]{32}', rb"\g<1>" + b"0" * 32, content, count=1)
        if xxhash.xxh3_128_hexdigest(blank) != metadata["xxh3_128"]:
            raise SystemExit(f"{path}: the checksum is wrong")
        notes.append("checksum right")
    print(f"{path}: {', '.join(notes)}")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        check(name)
