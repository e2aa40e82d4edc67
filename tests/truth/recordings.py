"""A recording: flows run, blurred by what no definition mentions, written, and what is true of them.

**Blurs** change what is recorded and not what a team would say of a flow: a release with a new
step, the same steps in another order, clocks that differ by up to 2 s each way, what is told or
delivered twice, and records that are missing at random.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from tests.truth.files import NODES, topic, write
from tests.truth.flows import Fault, Flow, Message, Record, S, Told, run_flow
from tests.truth.plan import END, START, plan
from tests.truth.verdicts import Verdict, deadlines, known, verdict
from tests.truth.workflows import Call, Workflow, reordered, with_new_step

NEW_STEP, REORDERED, SKEW, DUPLICATES, LOSS = "new step", "reordered", "skew", "duplicates", "loss"
BLURS: Final = (NEW_STEP, REORDERED, SKEW, DUPLICATES, LOSS)
_SKEW: Final = 2 * S
_LOST: Final = 0.01
_TWICE: Final = 0.02
_PARTITIONS: Final = 6
_NEWSLETTERS: Final = 0.01

_NEWSLETTER: Final = Workflow("newsletter", "issue_id", Call("newsletters", "", "IssueQueued", 0), (), {}, 0)


class Truth(NamedTuple):
    """What must be said of one flow."""

    flow: Flow
    kind: str
    """What is out of the ordinary in it, "" for nothing."""
    verdict: Verdict
    decidable: bool
    """Whether the records that are left can tell."""
    records: int
    lost: tuple[Record, ...]
    in_time: bool
    """It ended well, and nothing that it owed on its way was ever beyond its limit."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Files, and what is true of the flows in them."""

    paths: list[Path]
    records: int
    as_of: int
    """The newest time that is told, microseconds."""
    flows: list[Truth]


def record(
    folder: Path, *, flows: int, seed: int, blurs: Iterable[str] = (), faults: float = 0.2
) -> Recording:
    """Run so many flows, the share ``faults`` out of the ordinary; write what is left of their records."""
    blurs = frozenset(blurs)
    made = list(_run(flows, faults, seed, blurs))
    chance = Random(f"blurs {seed}")
    _number_messages(made)
    clocks = _clocks(chance) if SKEW in blurs else {}
    written: list[Record] = []
    lost: dict[Flow, list[Record]] = defaultdict(list)
    left: dict[Flow, list[Record]] = defaultdict(list)
    there: dict[Flow, list[Record]] = defaultdict(list)
    for flow in made:
        for one in flow.records:
            if one.written > END:
                continue
            there[flow].append(one)
            if LOSS in blurs and chance.random() < _LOST:
                lost[flow].append(one)
                continue
            left[flow].append(one)
            written.extend([one] * (2 if DUPLICATES in blurs and chance.random() < _TWICE else 1))
    as_of = max(one.written + clocks.get(one.service, 0) for one in written)
    judge = _Judge(there, left, clocks, as_of)
    return Recording(
        paths=write(folder, written, clocks),
        records=len(written),
        as_of=as_of,
        flows=[
            judge.truth(flow, tuple(lost[flow]))
            for flow in made
            if left[flow] and (flow.parent is None or flow.workflow is not flow.parent.workflow)
        ],
    )


def _run(flows: int, faults: float, seed: int, blurs: frozenset[str]) -> Iterable[Flow]:
    chosen = Random(f"plan {seed}")
    blur = Random(f"variants {seed}")
    for flow in plan(flows, faults, chosen):
        variants: list[Callable[[Workflow], Workflow]] = []
        if REORDERED in blurs and blur.random() < 0.5:
            variants.append(reordered)
        if NEW_STEP in blurs and blur.random() < 0.5:
            variants.append(with_new_step)
        for change in variants:
            flow.workflow = change(flow.workflow)
        again = (lambda: blur.random() < _TWICE) if DUPLICATES in blurs else (lambda: False)
        run_flow(flow, Random(f"{seed} {flow.number}"), again)
        yield flow
        yield from flow.children
    for number in range(round(flows * _NEWSLETTERS)):
        yield _newsletter(flows + number, chosen)


def _newsletter(number: int, chance: Random) -> Flow:
    """Lines alone, of a kind that no definition knows: nothing says where it ends."""
    started = chance.randrange(START, END - 60 * S)
    flow = Flow(number, _NEWSLETTER, "", Fault("unknown"), started, chance.randbytes(16).hex(), "n")
    for at, event in enumerate(("IssueQueued", "IssueRendered", "IssueMailed")):
        message = Message(event, "newsletters", flow, chance.randbytes(16).hex(), None, started, "", "")
        line = Record(Told.SENT, started + at * S, "newsletters", flow, message, "", "")
        flow.messages.append(message)
        flow.records.append(line)
    return flow


def _number_messages(flows: Iterable[Flow]) -> None:
    """Give out offsets in the order of time."""
    offsets: dict[tuple[str, int], int] = defaultdict(int)
    messages = [message for flow in flows for message in flow.messages]
    for message in sorted(messages, key=lambda one: one.sent):
        message.partition = message.flow.number % _PARTITIONS
        place = (topic(message), message.partition)
        message.offset = offsets[place]
        offsets[place] += 1


def _clocks(chance: Random) -> dict[str, int]:
    return {service: chance.randint(-_SKEW, _SKEW) for services in NODES.values() for service in services}


def _kind(flow: Flow) -> str:
    """What is out of the ordinary in a flow, or in the one that it was opened by."""
    if flow.parent is not None and _kind(flow.parent):
        return f"child of {_kind(flow.parent)}"
    return " ".join(word for word in (flow.fault.kind, flow.scenario) if word)


class _Judge:
    """Says what is true of flows, with all their records and with what is left of them."""

    def __init__(
        self,
        there: Mapping[Flow, list[Record]],
        left: Mapping[Flow, list[Record]],
        clocks: Mapping[str, int],
        as_of: int,
    ) -> None:
        self._there, self._left, self._clocks, self._as_of = there, left, clocks, as_of

    def truth(self, flow: Flow, lost: tuple[Record, ...]) -> Truth:
        """What must be said of a flow, and whether it can be known."""
        really = self._verdict(flow, self._there, self._as_of)
        margins = (-2 * _SKEW, 0, 2 * _SKEW) if self._clocks else (0,)
        found = {self._verdict(flow, self._left, self._as_of + margin) for margin in margins}
        return Truth(
            flow=flow,
            kind=_kind(flow),
            verdict=really,
            decidable=found == {really},
            records=len(self._left[flow]),
            lost=lost,
            in_time=really.status == "completed" and not really.late and self._in_time(flow),
        )

    def _verdict(self, flow: Flow, records: Mapping[Flow, list[Record]], as_of: int) -> Verdict:
        if flow.workflow is _NEWSLETTER:
            return Verdict("in_progress", "unknown_end")
        children = [
            self._verdict(child, records, as_of)
            for child in flow.children
            if child.workflow is not flow.workflow and records[child]
        ]
        return verdict(flow, known(records[flow], self._clocks), as_of, children)

    def _in_time(self, flow: Flow) -> bool:
        """Whether each step with a limit of its own kept it."""
        told = known(self._there[flow], self._clocks)
        return all(
            told.sent.get(step, 0) <= told.sent.get(since, 0) + limit_s * S
            for step, since, limit_s in flow.workflow.limits
        ) and bool(deadlines(flow, told))
