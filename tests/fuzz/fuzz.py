"""Feeds mutated inputs of all formats to the collector for some minutes (``make fuzz``).

What is found is written to ``.fuzz``; give that file as the only argument to see it again.
"""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(include=["clew.collectors"]):
    from tests.fuzz.inputs import SEEDS, crowd, mutated
    from tests.fuzz.invariants import check_file, check_lines

FOLDER = Path(".fuzz")
CORPUS = FOLDER / "corpus"
STEPS = (16, 64, 300, 2000)
"""Sizes of the batches in which a file is read a second time."""


def one_input(data: bytes) -> None:
    """Check an input; its first byte says by which way."""
    if not data:
        return
    way, step = divmod(data[0], len(STEPS))
    if way % 3:
        check_lines(data[1:].decode(errors="replace").split("\n"))
    else:
        check_file(data[1:], STEPS[step])


def mutator(data: bytes, max_size: int, seed: int) -> bytes:
    """Another input: what libFuzzer makes of this one, or what knows JSON and lines does."""
    random = Random(seed)
    match random.randrange(4):
        case 0:
            made = crowd(random)
        case 1:
            made = atheris.Mutate(data[1:], max_size - 1)
        case _:
            made = mutated(data[1:], random)
    return (bytes([random.randrange(256)]) + made)[:max_size]


def main() -> None:
    """Run until libFuzzer's limits are reached, or something is found."""
    CORPUS.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS):
        (CORPUS / f"seed-{number}").write_bytes(bytes([number % 256]) + seed)
    arguments = [
        *sys.argv,
        f"-artifact_prefix={FOLDER}/",
        "-max_len=200000",
        "-timeout=120",
        "-rss_limit_mb=6000",
    ]
    if not any(Path(argument).is_file() for argument in sys.argv[1:]):
        arguments.append(str(CORPUS))
    atheris.Setup(arguments, one_input, custom_mutator=mutator)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
