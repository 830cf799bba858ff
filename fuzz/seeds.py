#!/usr/bin/env python3
"""Writes what the fuzzers start from into fuzz/corpus: the golden inputs of the tests, and the manual's queries."""

import gzip
import hashlib
import re
import struct
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "fuzz/corpus"


def seed(target: str, content: bytes) -> None:
    """Names a seed as libFuzzer would, so that none is there twice."""
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha1(content).hexdigest()).write_bytes(content)


def pickles() -> None:
    for path in (ROOT / "tests/data/python").glob("*.frames.gz"):
        rest = gzip.decompress(path.read_bytes())
        while rest:
            name_end = 1 + rest[0]
            (length,) = struct.unpack_from(">I", rest, name_end)
            end = name_end + 4 + length
            if length <= 4096:
                seed("pickle", rest[name_end + 4 : end])
            rest = rest[end:]


def bodies() -> None:
    for path in (ROOT / "tests/data/json").glob("*.jsonl"):
        lines = path.read_bytes().splitlines()
        array = b"[" + b",\n".join(lines) + b"]"
        for body in [*lines, b"\n".join(lines), array]:
            for framing in [b"\0", b"\1"]:
                seed("json_body", framing + b"\x07" + body[:4096])


def queries() -> None:
    manual = (ROOT / "docs/query.md").read_text()
    objects = [b"", *(ROOT / "tests/data/json/own.jsonl").read_bytes().splitlines()]
    for block in re.findall(r"```query\n(.*?)```", manual, re.DOTALL):
        for query in block.splitlines():
            for json in objects:
                seed("query", query.encode() + b"\n" + json)


def structures() -> None:
    """Long enough for the targets that read structures from them."""
    for number in range(64):
        noise = hashlib.shake_256(bytes([number])).digest(64 * (1 + number % 8))
        seed("spool_recovery", noise)
        seed("record_codec", noise)


if __name__ == "__main__":
    pickles()
    bodies()
    queries()
    structures()
    # What once failed is a good place to start from.
    for path in (ROOT / "tests/data/fuzz").glob("*/*"):
        seed(path.parent.name, path.read_bytes())
