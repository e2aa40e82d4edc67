"""A first flow definition, written from what one flow did: a text to begin with, commented.

What one flow shows is one way to go. It cannot know choices, parts that may be left out, other
ends, nor how long the like may take: where the text guesses, a comment says so. The text reads
back without a mistake, and by it the flow is completed if it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from clew.reconstruct.definition_file import Place as File
from clew.reconstruct.definition_file import root
from clew.reconstruct.definition_reader import DEEPEST, MOST_STEPS, Reader
from clew.reconstruct.definition_seen import Place, Seen, seen
from clew.reconstruct.definition_writer import duration
from clew.reconstruct.definitions import ENDS, UNITS, Definition
from clew.reconstruct.detail import FlowDetail
from clew.reconstruct.errors import DefinitionError, NothingToDefine
from clew.reconstruct.keys import class_of
from clew.reconstruct.model import Flow, KeyClass, Settings, Status
from clew.reconstruct.owed import Event, owed
from clew.reconstruct.passes.steps import LATEST

TIMES: Final = 10
"""A limit is so many times what the flow took."""
LEAST_US: Final = 10 * UNITS["s"]
"""And no less than this."""
ROUND: Final = tuple(
    number * UNITS[unit]
    for unit, numbers in {"s": (10, 20, 30), "m": (1, 2, 5, 10, 15, 30), "h": (1, 2, 4, 8, 12)}.items()
    for number in numbers
)
"""Limits that a person would write; beyond them it is whole days."""
UNDOING: Final = re.compile(
    r"(?P<stem>.+?)[\W_]*(refund|cancel|releas|revert|revers|roll(ed)?[\W_]*back|undo|void|compensat|withdr|return)"
    r"[a-z]*",
    re.IGNORECASE,
)
"""A name that looks as if it undid another one of the same beginning."""
LONGEST: Final = 200
"""Characters of a name that are looked at for that."""


@dataclass(frozen=True, slots=True)
class Lanes:
    """Sequences side by side."""

    lanes: tuple[Row, ...]


Row = list["Place | Lanes"]
"""One after the other."""
IsStep = Callable[[Place], bool]


def from_flow(detail: FlowDetail, settings: Settings) -> str:
    """The text of a definitions file with the type of one flow.

    Where ``settings`` hold a definition of that type, what it says of ends and undoings is taken over.

    Raises:
        NothingToDefine: fewer than two events of the flow have names, or there are too many of them.
    """
    shown = seen(detail)
    if shown is None:
        raise NothingToDefine(
            f"nothing of {detail.flow.flow_id} has a name that a definition could ask for",
            help="clew show draws what there is of it; an event's name comes from its format",
        )
    if len({place.name for place in shown.places}) == 1:
        raise NothingToDefine(
            f"{detail.flow.flow_id} has no event but its start, {shown.start.name}",
            help="a definition says what follows a start: take a flow that went further",
        )
    if len(shown.places) > MOST_STEPS:
        raise NothingToDefine(
            f"{detail.flow.flow_id} has {len(shown.places):,} different events; a flow type has up to {MOST_STEPS}",
            help="names that hold an ID differ in every flow: clew steps lists them",
        )
    known = next((one for one in settings.definitions if one.name == detail.flow.type), None)
    keys = [name for name, kind in class_of(settings).items() if kind is not KeyClass.ENTITY]
    return _Sketch(detail, shown, known, frozenset(keys)).text()


class _Sketch:
    """One flow's definition while it is written."""

    def __init__(
        self, detail: FlowDetail, shown: Seen, known: Definition | None, no_keys: frozenset[str]
    ) -> None:
        self.detail = detail
        self.flow = detail.flow
        self.seen = shown
        self.name = self.flow.type.strip() or shown.start.name
        self.no_keys = no_keys
        self.ends = _ends(shown, known)
        self.guessed = not self.ends and _seems_over(self.flow) and _may_end(shown)
        if self.guessed:
            self.ends = {shown.places[-1].name: "completed"}
        self.over = max(
            (place.first.time for place in shown.places if place.name in self.ends), default=LATEST
        )
        self.undone = _undone(shown, known)

    def text(self) -> str:
        """The steps as they caused each other; where that would not complete the flow, as they came."""
        in_turn: Row = [place for place in self.seen.places if self._is_step(place)]
        for row in (_row(self.seen.start, self._is_step, DEEPEST), in_turn):
            text = "\n".join(self._lines(row)) + "\n"
            if self._holds(text):
                return text
        raise NothingToDefine(
            f"no definition says how {self.flow.flow_id} went",
            help="clew show draws it; docs/definitions.md has an example for each kind of workflow",
        )

    def _is_step(self, place: Place) -> bool:
        return (
            place.name != self.seen.start.name
            and place.name not in self.ends
            and place.first.time <= self.over
        )

    def _holds(self, text: str) -> bool:
        """Whether the text reads back, and by it the flow is completed if it was."""
        file = File("", text)
        try:
            (definition,) = Reader(file).definitions(root(file))
        except DefinitionError:
            return False
        if not _seems_over(self.flow):
            return True
        events = [Event(one.name, one.time, one.service) for one in self.seen.happenings]
        ended = owed(definition, events, LATEST).ended
        return ended is not None and ended.outcome == "completed"

    # The text.

    def _lines(self, row: Row) -> Iterator[str]:
        yield from self._head()
        yield "flows:"
        yield f"  {_word(self.name)}:"
        yield f"    start: {_word(self.seen.start.name)}"
        if row:
            yield "    steps:"
            yield from self._items(row, " " * 6)
        yield from self._ended()
        yield from self._undoing()
        yield from self._limit()
        keys = [
            name
            for name, values in self.flow.keys.items()
            if len(values) == 1 and name not in self.no_keys and name == name.strip()
        ]
        if keys:
            yield f"    keys: [{', '.join(map(_word, keys))}]"

    def _head(self) -> Iterator[str]:
        took = _took(self.flow.started, self.flow.last)
        after = f", {_said(took)}" if took is not None else ""
        name, flow_id = _plain(self.name), _plain(self.flow.flow_id)
        yield f"# {name}, as one flow of it went: {flow_id} ({self.flow.status}{after})."
        yield "# One flow cannot tell what others do otherwise: choices (one_of), parts left out (optional),"
        yield "# other ends. Change it, then see how well it fits: clew define check FILE"
        if not _seems_over(self.flow):
            yield "# A completed one is a better beginning: clew flows --status completed --type TYPE"
        if self.detail.truncated:
            yield f"# The flow is larger than was read: {self.detail.truncated:,} of its records are left out."

    def _items(self, row: Row, indent: str) -> Iterator[str]:
        for item in row:
            if isinstance(item, Place):
                yield f"{indent}- {_step(item)}{self._note(item)}"
                continue
            yield f"{indent}- all:"
            for lane in item.lanes:
                yield from self._lane(lane, indent + " " * 4)

    def _lane(self, lane: Row, indent: str) -> Iterator[str]:
        if len(lane) == 1:
            yield from self._items(lane, indent)
            return
        lines = self._items(lane, indent + "  ")
        yield f"{indent}- {next(lines).lstrip()}"
        yield from lines

    def _note(self, place: Place) -> str:
        """How long it took here, and how often it came."""
        told = []
        took = _took(place.after.first.time, place.first.time) if place.after else None
        if took is not None and place.after:
            guessed = " (by time alone)" if place.by_time else ""
            told.append(f"{_said(took)} after {_plain(place.after.name)}{guessed}")
            told.append(f"limit: {duration(generous(took))}?")
        if place.times > 1:
            told.append(f"came {place.times:,} times; repeats: {place.times}?")
        return f"  # {'; '.join(told)}" if told else ""

    def _ended(self) -> Iterator[str]:
        if not self.ends:
            yield "    # ends: which events end it? {completed: ..., failed: ..., cancelled: ...}"
            return
        yield "    ends:"
        for outcome in ENDS:
            events = [event for event, means in self.ends.items() if means == outcome]
            if events:
                guessed = "  # a guess: nothing came after it" if self.guessed else ""
                yield f"      {outcome}: {_one_or_more(events)}{guessed}"
        for outcome, how in (("completed", "well"), ("failed", "badly")):
            if outcome not in self.ends.values():
                yield f"      # {outcome}: which event tells that it ended {how}?"
        later = [place.name for place in self.seen.places if place.first.time > self.over]
        if later:
            yield f"    # after its end came {', '.join(map(_plain, dict.fromkeys(later)))}"

    def _undoing(self) -> Iterator[str]:
        if self.undone:
            yield "    compensations:"
            for undo, names in self.undone.items():
                yield f"      {_word(undo)}: {_one_or_more(names)}"
            return
        for undo, undone in _undoings(self.seen):
            yield f"    # compensations: {{{_plain(undo)}: {_plain(undone)}}}?"

    def _limit(self) -> Iterator[str]:
        took = _took(self.flow.started, self.flow.last)
        if took is None:
            yield "    # limit: 5m"
            return
        limit = generous(max(took, 30 * UNITS["s"]))
        yield f"    limit: {duration(limit)}  # a guess: this one took {_said(took)}"


def generous(us: int) -> int:
    """A limit for what took ``us`` once: ten times that, rounded up to what a person would write."""
    wanted = max(us * TIMES, LEAST_US)
    day = UNITS["d"]
    return next((limit for limit in ROUND if limit >= wanted), -(-wanted // day) * day)


def _ends(shown: Seen, known: Definition | None) -> dict[str, str]:
    """The events that ended it → what they mean, as the known definition of the type has them."""
    outcomes = dict(known.ends) if known else {}
    return {place.name: outcomes[place.name] for place in shown.places if place.name in outcomes}


def _seems_over(flow: Flow) -> bool:
    """It is completed, or owes nothing while nothing says where it ends."""
    return flow.status is Status.COMPLETED or (
        flow.status is Status.IN_PROGRESS and flow.cause == "unknown_end"
    )


def _may_end(shown: Seen) -> bool:
    """Whether the last event came once and has others between it and the start."""
    last = shown.places[-1]
    return len(shown.places) > 2 and last.times == 1 and len(shown.named(last.name)) == 1  # noqa: PLR2004


def _undone(shown: Seen, known: Definition | None) -> dict[str, list[str]]:
    """The undoings that were seen, with what they undid, as the known definition of the type has them."""
    if known is None:
        return {}
    names = {place.name for place in shown.places}
    found: dict[str, list[str]] = {}
    for rule in known.rules:
        undone = [name for number in rule.undoes for name in known.rules[number - 1].events if name in names]
        for undo in rule.events:
            if undo in names and undone:
                found.setdefault(undo, []).extend(name for name in undone if name not in found.get(undo, []))
    return found


def _undoings(shown: Seen) -> Iterator[tuple[str, str]]:
    """Events that may undo an earlier one, by their names, each with that one."""
    for nth, place in enumerate(shown.places):
        match = UNDOING.fullmatch(place.name[:LONGEST])
        alike = [one.name for one in shown.places[1:nth] if match and one.name.startswith(match["stem"])]
        if len(set(alike)) == 1:
            yield place.name, alike[0]


def _row(place: Place, is_step: IsStep, deep: int) -> Row:
    """What a place caused: one after the other, and side by side where it caused several."""
    row: Row = []
    while True:
        below = list(_below(place, is_step))
        if len(below) > 1 and deep:
            lanes = tuple([one, *_row(one, is_step, deep - 1)] for one in below)
            return [*row, Lanes(lanes)]
        if len(below) != 1:
            return [*row, *sorted(_all_below(below, is_step), key=_age)]
        (place,) = below
        row.append(place)


def _below(place: Place, is_step: IsStep) -> Iterator[Place]:
    """The steps that a place caused; of what is no step, those that it caused."""
    waiting = list(reversed(place.below))
    while waiting:
        one = waiting.pop()
        if is_step(one):
            yield one
        else:
            waiting.extend(reversed(one.below))


def _all_below(below: Iterable[Place], is_step: IsStep) -> Iterator[Place]:
    waiting = list(below)
    while waiting:
        one = waiting.pop()
        yield one
        waiting.extend(_below(one, is_step))


def _age(place: Place) -> tuple[datetime, int]:
    return place.first.time, place.first.steps[0].id


def _step(place: Place) -> str:
    name = _word(place.name)
    return name if place.service is None else f"{{event: {name}, service: {_word(place.service)}}}"


def _took(start: datetime | None, end: datetime | None) -> int | None:
    if start is None or end is None or LATEST in {start, end}:
        return None
    return max(0, (end - start) // timedelta(microseconds=1))


def _said(us: int) -> str:
    """A duration to three figures: ``9.03ms``, ``1.39s``, ``1m40s``."""
    for unit, size in (("us", 1), ("ms", UNITS["ms"]), ("s", UNITS["s"])):
        if us < 1_000 * size and us < UNITS["m"]:
            return f"{us / size:.3g}{unit}"
    size = UNITS["s"] if us < UNITS["h"] else UNITS["m"]
    return duration(us // size * size)


def _one_or_more(names: Sequence[str]) -> str:
    return _word(names[0]) if len(names) == 1 else f"[{', '.join(map(_word, names))}]"


def _word(text: str) -> str:
    """A name as YAML writes it within a list or mapping of one line."""
    import yaml

    written: str = yaml.safe_dump(
        [text], default_flow_style=True, width=float("inf"), allow_unicode=text.isprintable()
    )
    return written.strip()[1:-1]


def _plain(text: str) -> str:
    """A name within a comment: on one line, and nothing that a terminal obeys."""
    shown = text if text.isprintable() else text.encode("unicode_escape").decode()
    return shown.strip() or "(unnamed)"
