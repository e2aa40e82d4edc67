"""What the fuzzers start from, and what they do to it."""

from __future__ import annotations

import bz2
import copy
import gzip
import json
import lzma
from collections.abc import Callable
from random import Random
from typing import Any

import zstandard

from clew.collectors.formats import catalogue


def _samples() -> list[list[str]]:
    """The sample lines of each built-in format."""
    return [
        [line for sample in one.samples for line in sample.line.split("\n")]
        for one in catalogue()
        if one.samples
    ]


def docker(line: str) -> str:
    return json.dumps({"log": line + "\n", "stream": "stdout", "time": "2026-03-01T12:00:00.5Z"})


def cri(line: str) -> str:
    return f"2026-03-01T12:00:00.5Z stdout F {line}"


def compose(line: str) -> str:
    return f"orders-1  | {line}"


SAMPLES = _samples()
ENVELOPES: tuple[Callable[[str], str], ...] = (docker, cri, compose)
PACKERS: tuple[Callable[[bytes], bytes], ...] = (
    gzip.compress,
    bz2.compress,
    lzma.compress,
    zstandard.ZstdCompressor().compress,
)

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 1e300, 2**31, 2**63, -(2**63), 10**30, "", " ", "x", '"', "\\", "\x00", "\n",
    "\x1b[31m", "\u2028", "\ud800", "é" * 20, "0" * 32, "2026-03-01T12:00:00Z", "infinity", "-infinity", "NaN", "epoch",
    "290309-12-22 (BC) 00:00:00", "294247-01-10T04:00:54.775807Z", "9999-12-31T23:59:59.9999999Z", "1772366400",
    "99999999999999999999", "AAAAAAAAAAA=", "==", '{"a":1}', "[1,", [], {}, [None], [[]], [{}], {"": None}, {"": {"": 1}},
    {"key": None, "value": None}, [{"key": "k"}], [{"key": 1, "value": {"stringValue": 1}}], {"stringValue": None},
    {"arrayValue": {"values": [{}, None, 1]}}, {"kvlistValue": {"values": [{"key": "a"}]}}, [[[[[[1]]]]]],
)  # fmt: skip
"""What stands where something else is expected."""

TOKENS: tuple[bytes, ...] = (
    b"\n", b"\r\n", b"\r", b"\0", b"\x1e", b"\x1b[0m", b"\x85", b"\xc2\x85", b"\xe2\x80\xa8", b"\xff", b"\xef\xbb\xbf", b'"',
    b'\\"', b"\\", b"\\u0000", b"\\ud800", b"{", b"}", b"[", b"]", b",", b":", b"=", b"null", b"{}", b"[]", b"1e999", b"-0",
    b"9223372036854775808", b" ", b"\t", b"'", b"|", b"<1>", b'key="a\\"b"', b"2026-03-01 12:00:00,5 ERROR ", b",,",
    b'""', b"P ", b"F ", b" stdout ",
)  # fmt: skip


def seeds() -> list[bytes]:
    """Inputs of every built-in format: as lines, one within an array, and in an envelope."""
    found: list[bytes] = []
    for lines in SAMPLES:
        found.append("\n".join([*lines, ""]).encode())
        found.append("\n".join([*map(docker, lines), ""]).encode())
        objects = [line for line in lines if parsed(line) is not None]
        if objects:
            found.append(f"[{','.join(objects)}]".encode())
            found.append("\n".join(json.dumps(parsed(line), indent=1) for line in objects).encode())
    return found


def mutated(data: bytes, random: Random) -> bytes:
    """The input with a few things done to it."""
    for _ in range(random.randint(1, 4)):
        data = random.choice(MUTATIONS)(data, random)
    return data


def crowd(random: Random) -> bytes:
    """Some two hundred lines of one format, most of them with something done to them: one plan decodes them all."""
    seed = random.choice(SEEDS).split(b"\n")
    lines = [random.choice(seed) for _ in range(random.choice([20, 200]))]
    for place, line in enumerate(lines):
        if random.random() < 0.7:
            lines[place] = random.choice(LINE_MUTATIONS)(line, random)
    return b"\n".join([seed[0], *lines, b""])


def _lines_changed(change: Callable[[str, Random], str]) -> Callable[[bytes, Random], bytes]:
    def changed(data: bytes, random: Random) -> bytes:
        lines = data.decode(errors="surrogateescape").split("\n")
        place = random.randrange(len(lines))
        lines[place] = change(lines[place], random)
        return "\n".join(lines).encode(errors="surrogatepass")

    return changed


def _node_changed(line: str, random: Random) -> str:
    """The JSON of a line with one node replaced, renamed, doubled or taken out."""
    document = parsed(line)
    if not isinstance(document, dict | list):
        return line
    nodes = list(places(document))
    if not nodes:
        return line
    inside, key = random.choice(nodes)
    match random.randrange(5):
        case 0 | 1:
            inside[key] = copy.deepcopy(random.choice(VALUES))
        case 2:
            del inside[key]
        case 3 if isinstance(inside, dict):
            inside[random.choice(["", "time", "x", str(key).upper(), str(key) + "."])] = inside.pop(key)
        case _:
            other, at = random.choice(nodes)
            inside[key] = copy.deepcopy(other[at]) if at in other or isinstance(other, list) else None
    separators = random.choice([(",", ":"), (", ", ": ")])
    return json.dumps(document, ensure_ascii=random.random() < 0.5, separators=separators).replace("\n", " ")


def places(value: Any) -> list[tuple[Any, Any]]:
    """(container, key) of every node below ``value``."""
    found: list[tuple[Any, Any]] = []
    pending = [value]
    while pending:
        inside = pending.pop()
        keys = list(inside) if isinstance(inside, dict) else list(range(len(inside)))
        found += [(inside, key) for key in keys]
        pending += [inside[key] for key in keys if isinstance(inside[key], dict | list)]
    return found


def parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _token_inserted(data: bytes, random: Random) -> bytes:
    at = random.randint(0, len(data))
    return data[:at] + random.choice(TOKENS) + data[at:]


def _slice_dropped(data: bytes, random: Random) -> bytes:
    at = random.randint(0, len(data))
    return data[:at] + data[at + random.choice([1, 2, 10, 100]) :]


def _slice_doubled(data: bytes, random: Random) -> bytes:
    at, size = random.randint(0, len(data)), random.choice([1, 10, 100, 1000])
    return data[: at + size] + data[at:]


def _cut_off(data: bytes, random: Random) -> bytes:
    return data[: random.randint(0, len(data))]


def _spliced(data: bytes, random: Random) -> bytes:
    other = random.choice(SEEDS)
    return data[: random.randint(0, len(data))] + other[random.randint(0, len(other)) :]


def _line_moved(data: bytes, random: Random) -> bytes:
    lines = data.split(b"\n")
    line = lines.pop(random.randrange(len(lines)))
    lines.insert(random.randint(0, len(lines)), line)
    return b"\n".join(lines)


def _byte_changed(data: bytes, random: Random) -> bytes:
    if not data:
        return data
    at = random.randrange(len(data))
    return data[:at] + bytes([random.randrange(256)]) + data[at + 1 :]


def _wrapped(data: bytes, random: Random) -> bytes:
    wrap = random.choice(ENVELOPES)
    lines = data.decode(errors="replace").split("\n")
    return "\n".join(wrap(line) for line in lines).encode()


def _packed(data: bytes, random: Random) -> bytes:
    return random.choice(PACKERS)(data) if random.random() < 0.2 else data


SEEDS = seeds()
LINE_MUTATIONS: tuple[Callable[[bytes, Random], bytes], ...] = (
    *[_lines_changed(_node_changed)] * 6,
    _token_inserted, _token_inserted, _slice_dropped, _slice_doubled, _cut_off, _byte_changed,
)  # fmt: skip
MUTATIONS = (*LINE_MUTATIONS, _spliced, _line_moved, _wrapped, _packed)
