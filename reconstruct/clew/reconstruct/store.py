"""The store contract. ``open_store`` gives an implementation."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, Self

from clew.reconstruct.model import LIKELY

if TYPE_CHECKING:
    from types import TracebackType

    from clew.collectors.record import Batch
    from clew.reconstruct.answers import (
        Changed,
        Continuation,
        FlowGroup,
        GroupBy,
        KeyReport,
        Match,
        SourceStatus,
        StoredReject,
        Written,
    )
    from clew.reconstruct.definitions import Definition
    from clew.reconstruct.detail import FlowDetail
    from clew.reconstruct.learned import Asked, Model, Transition
    from clew.reconstruct.model import Flow, FlowFilter, Settings, Summary
    from clew.reconstruct.reports import (
        Comparison,
        Fitness,
        Misfit,
        StepReport,
        TypeReport,
        VariantReport,
        Window,
    )


class Capability(StrEnum):
    """What a store may be unable to do; each absence carries a reason."""

    TRANSACTIONS = "transactions"
    AS_OF_EARLIER = "as_of_earlier"
    REBUILD = "rebuild"


class Store(Protocol):
    """Keeps Records, positions and flows.

    Every method works on an empty store. Nothing is held open between calls unless
    the docstring says so, so that other processes get their turn; each call waits
    for its turn and raises :class:`clew.reconstruct.errors.StoreBusy` after the
    store's ``timeout``. The caller owns what is returned. ``as_of`` None means the
    newest plausible record's time, or a later one up to which a source is known to have been read.

    Raises :class:`~clew.reconstruct.errors.StoreError` and nothing of the database's.
    """

    @property
    def missing(self) -> Mapping[Capability, str]:
        """Capabilities that this store lacks → the reason."""
        ...

    def positions(self) -> dict[str, str]:
        """Source name → position after its last committed batch."""
        ...

    def write(self, batch: Batch) -> Written:
        """De-duplicate, attribute and judge a batch and move its position: one transaction.

        May keep the store open until :meth:`release` while nobody else waits for it. A batch
        with a ``settle`` is settled after its commit, or when it failed.
        """
        ...

    def write_all(self, batches: Iterator[Batch]) -> Iterator[tuple[Batch, Written]]:
        """:meth:`write` each in order, and give each back, without its ``raw``, when it is committed.

        The next batch may be pulled and decoded while one is written. Pulling may block
        for as long as it likes: what was pulled before is committed meanwhile.
        """
        ...

    def held(self) -> AbstractContextManager[None]:
        """Within the block the store stays open for this thread's questions, which see one state.

        For a few quick questions about now (``as_of`` None): who wants to write waits for its end.
        """
        ...

    def release(self) -> None:
        """Let others in now. Safe to call at any time."""
        ...

    def summary(self, as_of: datetime | None = None) -> Summary:
        """Counts over all flows."""
        ...

    def flows(self, which: FlowFilter, as_of: datetime | None = None) -> Iterator[Flow]:
        """Flows in the order asked for, ties by flow_id; read in chunks of bounded size."""
        ...

    def changed(self, which: FlowFilter, since: str | None = None) -> Changed:
        """Flows of ``which``, in its order, that got a record or missed a deadline since the mark ``since``.

        Where the store judges by something else since (a model that was learned, other
        definitions or keys), those that stand otherwise, too; where this store object was not
        asked for ``which`` before, all of them.
        Without a mark, or with one of another store, no flow, and the mark to begin with.
        It keeps nobody waiting while nothing is committed, so that it may be asked often.
        """
        ...

    def groups(self, which: FlowFilter, by: GroupBy, as_of: datetime | None = None) -> list[FlowGroup]:
        """Flows by what they have in common, the largest group first; ``which.limit`` counts groups."""
        ...

    def continuations(
        self, as_of: datetime | None = None, least: float = LIKELY, around: datetime | None = None
    ) -> list[Continuation]:
        """Where flows likely go on under other IDs, the likeliest first, ties by the IDs; [] for none.

        A flow continues at most one other, and each event that a service did not act on is
        continued by at most one. ``least`` lies between 0.5 and 1: what is likelier than not
        contradicts nothing else that is. Of many flows the newest are looked at, or those
        around the time given: so many that it takes seconds. Others have their turn during most of it.
        """
        ...

    def joining(
        self, found: Sequence[Continuation], as_of: datetime | None = None
    ) -> AbstractContextManager[None]:
        """Within the block every question (at ``as_of``) regards a flow and its continuations as one.

        It goes by the first one's ID, to which those of its continuations lead; its status,
        its cause and all counts are judged anew, and :attr:`Flow.inferred` says how likely it
        is. Nothing is stored. It stands within no other such block, and within no :meth:`held`.
        """
        ...

    def find(self, text: str, scope: str | None = None, limit: int = 20) -> list[Match]:
        """Flows that any ID or unique prefix leads to, exact matches first; [] for none."""
        ...

    def flow(
        self,
        flow_id: str,
        scope: str = "",
        as_of: datetime | None = None,
        limit: int = 20_000,
        *,
        usual: bool = False,
    ) -> FlowDetail | None:
        """One flow whole, at most ``limit`` records of it; None where there is none.

        ``usual`` asks for :attr:`~clew.reconstruct.detail.FlowDetail.p99_us`, for which every flow of
        its type is looked at: what the rest costs does not follow the store.
        """
        ...

    def sources(self) -> list[SourceStatus]:
        """Every source ever read, by name."""
        ...

    def rejects(self, source: str | None = None, limit: int = 100) -> list[StoredReject]:
        """Rejects by source and position."""
        ...

    def keys(self) -> list[KeyReport]:
        """ID-like names seen, suspects first, then by number of records."""
        ...

    def type_names(self) -> list[str]:
        """Every flow type, in order; [] for none."""
        ...

    def types(self, which: FlowFilter, as_of: datetime | None = None) -> list[TypeReport]:
        """One report for each flow type, the one with the most flows first, ties by name; [] for none.

        Of a :class:`FlowFilter` the conditions hold, for this and the reports below; its
        order and limit mean nothing to them. Durations are microseconds. A report may take
        seconds, during most of which others have their turn.
        """
        ...

    def variants(
        self, which: FlowFilter, as_of: datetime | None = None, limit: int | None = None
    ) -> VariantReport:
        """At most ``limit`` distinct sequences of steps, the most frequent first, ties by the example's ID."""
        ...

    def steps(self, which: FlowFilter, as_of: datetime | None = None) -> list[StepReport]:
        """Each step of each type, what took the most time first, ties by type and name; [] for none."""
        ...

    def compare(
        self, before: Window, after: Window, which: FlowFilter, as_of: datetime | None = None
    ) -> Comparison:
        """Every measure of flows that started in two windows, significant changes first, the surest of them first.

        What counts as significant is told in :mod:`clew.reconstruct.significance`. A flow in
        both windows counts as after. Without flows in either there are zero and no changes.
        """
        ...

    def fitness(
        self,
        definitions: Sequence[Definition],
        which: FlowFilter,
        as_of: datetime | None = None,
        ignoring: Collection[Misfit] = (),
    ) -> list[Fitness]:
        """How well each definition fits the flows that begin with its start, in the order given.

        The definitions need not be those that the store judges by; a flow belongs to the one
        whose start it has. ``which.types`` are the types as the store judges. Deviations of a
        kind in ``ignoring`` are told, and do not count against a flow.
        """
        ...

    def settings(self) -> Settings:
        """What the store judges by now."""
        ...

    def definitions(self) -> tuple[Definition, ...]:
        """What flows are judged by: the written definitions, then the learned ones that none of them replaces.

        A written definition replaces a learned one of its name, or with a start of its own.
        """
        ...

    def learn(self, asked: Asked, *, keep: bool = True) -> Model:
        """Learn a model from what is stored, and judge by it from now on; with ``keep`` false only say what it would be.

        Learning takes seconds, during most of which others have their turn. Flows that a
        changed definition concerns are judged again, in the turn that stores the model.
        """
        ...

    def models(self) -> list[Model]:
        """Every model learned, the newest first; [] for none."""
        ...

    def model(self) -> Model | None:
        """The model in use; None for none."""
        ...

    def use_model(self, number: int) -> bool:
        """Judge by another model from now on, 0 for none, and judge again what that changes.

        False: there is none of that number, and nothing was changed.
        """
        ...

    def transitions(self, type: str | None = None) -> list[Transition]:
        """What leads to what and how long it takes, as the model in use learned it, of one type or all.

        By type and event, the follower that comes most often first; [] without a model.
        """
        ...

    def rebuild(self, settings: Settings | None = None) -> Summary:
        """Run the engine over all stored records anew, under other settings where given; models are kept."""
        ...

    def close(self) -> None:
        """Release everything. Safe to call twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
