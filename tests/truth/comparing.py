"""Ask clew about every flow of a recording, and list where it says otherwise than the truth."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from tests.truth.recordings import Recording, Truth
from tests.truth.verdicts import Verdict
from tests.truth.workflows import DEFINITIONS

from clew.collectors.files import FilesCollector
from clew.reconstruct import open_store
from clew.reconstruct.causes.why import why
from clew.reconstruct.definitions import load
from clew.reconstruct.ingest import ingest
from clew.reconstruct.model import Flow, FlowFilter, Settings
from clew.reconstruct.store import Store

WRITTEN: Final = Settings(definitions=load(DEFINITIONS))
"""Judged by what the team wrote."""
ENDED: Final = frozenset({"completed", "cancelled", "compensated"})
EXPLAINED: Final = {
    ("quiet", "stuck (consumed_no_reaction)", "stuck (never_published)"): (
        "the steps come in another order than the definition says, so that it owes an event of somebody who had"
        " nothing to react to yet; who should have reacted owes nothing by it"
    ),
}
"""(what is out of the ordinary, what is true, what is said): why clew cannot know better."""
NOT_LEARNED: Final = frozenset({"half half", "retrying", "slow"})
"""Kinds of flows about which no records tell: which event undoes which, and the team's own limits."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LISTED: Final = 20


class Disagreement(NamedTuple):
    """A flow of which clew says otherwise."""

    truth: Truth
    said: Verdict | None
    sentence: str

    @property
    def kind(self) -> tuple[str, str, str]:
        """What is out of the ordinary in the flow, what is true and what is said."""
        return (
            self.truth.kind,
            shown(self.truth.verdict),
            "not there" if self.said is None else shown(self.said),
        )


@dataclass(slots=True)
class Comparison:
    """What came of it."""

    flows: int = 0
    undecidable: int = 0
    undecidable_alike: int = 0
    wrong: list[Disagreement] = field(default_factory=list)
    by_cause: Counter[str] = field(default_factory=Counter)

    @property
    def unexplained(self) -> list[Disagreement]:
        """Those of which nobody knows why."""
        return [one for one in self.wrong if one.kind not in EXPLAINED]

    @property
    def share(self) -> float:
        """Of the decidable flows, how many are judged as they are."""
        return 1 - len(self.wrong) / max(self.flows, 1)

    def report(self, title: str) -> str:
        """A line of figures, and every disagreement below it by kind."""
        said = f"{len(self.wrong)} judged otherwise ({self.share:.3%} as they are)"
        unknown = f"{self.undecidable} undecidable, {self.undecidable_alike} of them judged as they were"
        lines = [f"{title}: {self.flows:,} flows, {said}; {unknown}"]
        kinds: dict[tuple[str, str, str], list[Disagreement]] = defaultdict(list)
        for one in self.wrong:
            kinds[one.kind].append(one)
        for (kind, true, said), found in sorted(kinds.items(), key=lambda item: (-len(item[1]), item[0])):
            lines.append(f"  {len(found)} x {kind or 'ordinary'}: {true}, said {said}")
            lines.append(f"    {EXPLAINED.get((kind, true, said), 'not explained yet')}:")
            lines.extend(f"    {_listed(one)}" for one in found[:_LISTED])
            lines.extend(["    ..."] if len(found) > _LISTED else [])
        return "\n".join(lines)


def _listed(one: Disagreement) -> str:
    truth = one.truth
    lost = ", ".join(
        f"{record.told.value} {record.message.event if record.message else record.text}"
        for record in truth.lost
    )
    return f"{truth.flow.id} {truth.flow.workflow.name}, {truth.records} records{', lost: ' + lost if lost else ''}: {one.sentence}"


def shown(verdict: Verdict) -> str:
    """A verdict in a few words."""
    words = [verdict.status, f"({verdict.cause})" if verdict.cause else ""]
    words += ["late" if verdict.late else "", "twice" if verdict.twice else ""]
    return " ".join(word for word in words if word)


def ingested(recording: Recording, path: Path, settings: Settings = WRITTEN) -> Store:
    """A store of a recording."""
    store = open_store(path, settings=settings)
    collector = FilesCollector([str(one) for one in recording.paths])
    ingest(store, collector, signals=False)
    collector.close()
    return store


def compare(
    store: Store, recording: Recording, *, sample: int = 50, unknowable: frozenset[str] = frozenset()
) -> Comparison:
    """Compare status and first cause of each flow; of flows that ended well, ``sample`` are asked why.

    ``unknowable`` are kinds that what the store judges by cannot tell: undecidable, too.
    """
    told = {flow.flow_id: flow for flow in store.flows(FlowFilter())}
    chosen = set(
        Random(len(recording.flows)).sample(range(len(recording.flows)), min(sample, len(recording.flows)))
    )
    found = Comparison()
    with store.held():
        for number, truth in enumerate(recording.flows):
            flow = told.get(truth.flow.id)
            said, sentence = _asked(store, flow, truth, ask=number in chosen)
            alike = said == truth.verdict
            if not truth.decidable or truth.kind in unknowable:
                found.undecidable += 1
                found.undecidable_alike += alike
                continue
            found.flows += 1
            found.by_cause[truth.verdict.cause or truth.verdict.status] += 1
            if not alike:
                found.wrong.append(Disagreement(truth, said, sentence))
    return found


def _asked(store: Store, flow: Flow | None, truth: Truth, *, ask: bool) -> tuple[Verdict | None, str]:
    if flow is None:
        return None, "no flow of that ID"
    ordinary = flow.cause is None and truth.verdict.cause is None and not truth.verdict.twice
    if ordinary and not ask and flow.status == truth.verdict.status and flow.late == truth.verdict.late:
        return Verdict(flow.status, None, flow.late), ""
    told = why(store, flow.flow_id)
    if told is None:
        return None, "no reason for that ID"
    twice = flow.status == "completed" and any(one.name == "duplicate_processing" for one in told.causes)
    return Verdict(flow.status, told.cause, flow.late, twice), told.sentence


def moment(time: int) -> datetime:
    """Microseconds since 1970 as a time."""
    return _EPOCH + timedelta(microseconds=time)


def called_stuck(store: Store, recording: Recording, times: int) -> Iterator[tuple[datetime, set[str]]]:
    """At so many times after another: the flows that are called stuck then and end in their own time."""
    in_time = {truth.flow.id for truth in recording.flows if truth.in_time}
    first = min(truth.flow.started for truth in recording.flows)
    for number in range(1, times + 1):
        as_of = moment(first + (recording.as_of - first) * number // times)
        stuck = {flow.flow_id for flow in store.flows(FlowFilter(), as_of) if flow.status == "stuck"}
        yield as_of, stuck & in_time
