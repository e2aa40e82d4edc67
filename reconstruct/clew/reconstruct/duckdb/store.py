"""The store on one DuckDB file."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from clew.reconstruct.duckdb import judging, querying
from clew.reconstruct.duckdb.file import TIMEOUT_SECONDS, DuckFile
from clew.reconstruct.duckdb.joined import hidden, marked, with_seams
from clew.reconstruct.duckdb.kept import keep_settings, kept_settings, number_in_use, put_in_use
from clew.reconstruct.duckdb.querying import utc
from clew.reconstruct.duckdb.schema import add_lags_and_shapes, add_models, create
from clew.reconstruct.duckdb.versions import Layout
from clew.reconstruct.model import LIKELY, Flow, FlowFilter, Settings, Summary
from clew.reconstruct.store import Capability

if TYPE_CHECKING:
    from types import TracebackType

    import duckdb

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
    from clew.reconstruct.reports import (
        Comparison,
        Fitness,
        Misfit,
        StepReport,
        TypeReport,
        VariantReport,
        Window,
    )

VERSION = 4
LAYOUT = Layout(VERSION, create, {2: add_models, 3: add_lags_and_shapes})
PAGE = 1_000
"""Flows read at a time."""


class DuckStore:
    """See :class:`clew.reconstruct.store.Store`; this adds nothing to its contract."""

    def __init__(
        self,
        path: Path,
        *,
        create_missing: bool = True,
        settings: Settings | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        self._file = DuckFile(path, layout=LAYOUT, create=create_missing, timeout=timeout)
        self._given = settings
        self._settings: Settings | None = None
        self._learned: tuple[int, tuple[Definition, ...]] = (0, ())
        self._answers = 0
        self._reporting = threading.RLock()
        self._joins: dict[tuple[str, str], tuple[Continuation, ...]] | None = None
        """(scope, flow ID) → the continuations it is looked at with, within :meth:`joining`."""

    @property
    def missing(self) -> Mapping[Capability, str]:
        return {}

    def positions(self) -> dict[str, str]:
        with self._file.reading() as connection:
            return querying.positions(connection)

    def write(self, batch: Batch) -> Written:
        ((_, written),) = self.write_all(iter((batch,)))
        return written

    def write_all(self, batches: Iterator[Batch]) -> Iterator[tuple[Batch, Written]]:
        """See the contract. Small batches that come while one is written go together after it."""
        from clew.reconstruct.duckdb.pipeline import Pipeline

        settings = self._writing_settings()
        with Pipeline(lambda together: self._put(together, settings)) as pipeline:
            for batch in batches:
                pipeline.add(batch)
                yield from pipeline.results()
            yield from pipeline.finish()

    def _put(self, batches: list[Batch], settings: Settings) -> list[tuple[Batch, Written]]:
        from clew.reconstruct.duckdb.writing import put

        with self._file.writing() as connection:
            return list(
                zip(batches, put(connection, batches, self._judging(connection, settings)), strict=True)
            )

    @contextmanager
    def held(self) -> Iterator[None]:
        with self._file.reading():
            yield

    def release(self) -> None:
        self._file.release()

    def summary(self, as_of: datetime | None = None) -> Summary:
        with self._at(as_of) as (connection, now, settings):
            return querying.summary(connection, now, settings, given=as_of is not None)

    def flows(self, which: FlowFilter, as_of: datetime | None = None) -> Iterator[Flow]:
        self._answers += 1
        answer = f"answer_{self._answers}"
        with self._at(as_of) as (connection, _, settings):
            querying.select_flows(connection, which, settings, answer)
            scope_of = querying.scopes(connection)
        start = 0
        while True:
            with self._file.workbench() as connection:
                page = querying.to_flows(connection, answer, start, PAGE, scope_of)
                if len(page) < PAGE:
                    connection.execute(f"DROP TABLE {answer}; DROP TABLE {answer}_keys")
            yield from marked(page, self._joins or {})
            if len(page) < PAGE:
                return
            start += PAGE

    def changed(self, which: FlowFilter, since: str | None = None) -> Changed:
        from clew.reconstruct.answers import Changed
        from clew.reconstruct.duckdb import changing

        stamp = self._file.stamp()
        before = changing.read_mark(since)
        if before is not None and before.stamp == stamp:
            return Changed([], before.text(), utc(before.as_of))
        if self._given is None:
            # Another process may have changed them.
            self._settings = None
        with self._at(None) as (connection, now, settings):
            return changing.changed(connection, which, before, stamp, now, settings)

    def groups(self, which: FlowFilter, by: GroupBy, as_of: datetime | None = None) -> list[FlowGroup]:
        from clew.reconstruct.duckdb import grouping

        with self._at(as_of) as (connection, now, settings):
            return grouping.groups(connection, which, by, now, settings, self._joins or ())

    def find(self, text: str, scope: str | None = None, limit: int = 20) -> list[Match]:
        from clew.reconstruct.duckdb import finding

        with self._now() as connection:
            found = finding.find(connection, text, scope, limit)
        if found or not self._joins or len(text) < finding.PREFIX:
            return found
        return hidden(self._joins, text, scope)[:limit]

    def flow(
        self,
        flow_id: str,
        scope: str = "",
        as_of: datetime | None = None,
        limit: int = 20_000,
        *,
        usual: bool = False,
    ) -> FlowDetail | None:
        from clew.reconstruct.duckdb import detail

        with self._at(as_of, one=True) as (connection, now, settings):
            found = detail.detail(connection, flow_id, scope, now, settings, limit, usual=usual)
        joined = (self._joins or {}).get((scope, flow_id), ())
        if found is None or not joined:
            return found
        return with_seams(found, joined)

    def sources(self) -> list[SourceStatus]:
        from clew.reconstruct.duckdb import source_reports

        with self._file.reading() as connection:
            return source_reports.sources(connection, self._read_settings(connection))

    def rejects(self, source: str | None = None, limit: int = 100) -> list[StoredReject]:
        from clew.reconstruct.duckdb import source_reports

        with self._file.reading() as connection:
            return source_reports.rejects(connection, source, limit)

    def keys(self) -> list[KeyReport]:
        from clew.reconstruct.duckdb import key_reports

        with self._file.reading() as connection:
            return key_reports.keys(connection, self._read_settings(connection))

    def type_names(self) -> list[str]:
        from clew.reconstruct.duckdb import type_reports

        with self._now() as connection:
            return type_reports.type_names(connection)

    def types(self, which: FlowFilter, as_of: datetime | None = None) -> list[TypeReport]:
        from clew.reconstruct.duckdb import duplicating, type_reports

        with self.step_table(which, as_of, duplicating.find_duplicates) as connection:
            return type_reports.types(connection)

    def variants(
        self, which: FlowFilter, as_of: datetime | None = None, limit: int | None = None
    ) -> VariantReport:
        from clew.reconstruct.duckdb import variant_reports

        with self.step_table(which, as_of) as connection:
            return variant_reports.variants(connection, limit)

    def steps(self, which: FlowFilter, as_of: datetime | None = None) -> list[StepReport]:
        from clew.reconstruct.duckdb import step_reports

        with self.step_table(which, as_of) as connection:
            return step_reports.steps(connection)

    def compare(
        self, before: Window, after: Window, which: FlowFilter, as_of: datetime | None = None
    ) -> Comparison:
        from clew.reconstruct.duckdb import comparisons

        def also(connection: duckdb.DuckDBPyConnection) -> None:
            comparisons.collect(connection, before, after)

        which = comparisons.span_of(which, before, after)
        with self.step_table(which, as_of, also) as connection:
            return comparisons.compare(connection)

    def continuations(
        self, as_of: datetime | None = None, least: float = LIKELY, around: datetime | None = None
    ) -> list[Continuation]:
        from clew.reconstruct.duckdb import continuations, step_table

        with self._reporting:
            with self._at(as_of) as (connection, _, settings):
                continuations.collect(connection, settings, around)
            with self._file.workbench() as connection:
                if not continuations.pair(connection):
                    step_table.drop(connection)
                    return []
            with self._at(as_of) as (connection, _, settings):
                continuations.values(connection)
            with self._file.workbench() as connection:
                found = continuations.weigh(connection, settings, least)
                step_table.drop(connection)
                return found

    @contextmanager
    def joining(self, found: Sequence[Continuation], as_of: datetime | None = None) -> Iterator[None]:
        from clew.reconstruct.duckdb import joining

        first = joining.first_of(found)
        joins: dict[tuple[str, str], tuple[Continuation, ...]] = {}
        for one in sorted(found, key=lambda one: (one.time, one.continued)):
            base = (one.scope, first[one.scope, one.continued])
            joins[base] = (*joins.get(base, ()), one)
        with self._reporting:
            with self._at(as_of) as (connection, now, settings):
                joining.name(connection, found)
                newest = querying.newest(connection)
                whole = now is not None and newest is not None and now < newest
                if not whole:
                    joining.remember(connection)
            self._file.release()
            with self._file.workbench() as connection:
                if not whole:
                    joining.judge(connection, settings)
                self._joins = joins
                try:
                    yield
                finally:
                    self._joins = None
                    joining.drop(connection)

    def fitness(
        self,
        definitions: Sequence[Definition],
        which: FlowFilter,
        as_of: datetime | None = None,
        ignoring: Collection[Misfit] = (),
    ) -> list[Fitness]:
        from clew.reconstruct.duckdb import fitting, step_table

        with self._reporting:
            with self._at(as_of) as (connection, now, settings):
                step_table.collect(connection, which, settings)
                context = fitting.collect(connection, definitions, now, settings)
            with self._file.workbench() as connection:
                found = fitting.fitness(context, now, ignoring)
                step_table.drop(connection)
                return found

    @contextmanager
    def step_table(
        self,
        which: FlowFilter,
        as_of: datetime | None,
        also: Callable[[duckdb.DuckDBPyConnection], None] = lambda _: None,
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """The tables of :mod:`clew.reconstruct.duckdb.step_table`, on a connection without a turn.

        ``also`` copies what else is needed of the store, within the turn.
        """
        from clew.reconstruct.duckdb import step_table

        with self._reporting:
            with self._at(as_of) as (connection, _, settings):
                step_table.collect(connection, which, settings)
                also(connection)
            with self._file.workbench() as connection:
                step_table.build(connection)
                yield connection
                step_table.drop(connection)

    def settings(self) -> Settings:
        with self._file.reading() as connection:
            return self._read_settings(connection)

    def definitions(self) -> tuple[Definition, ...]:
        with self._file.reading() as connection:
            return self._judging(connection, self._read_settings(connection)).definitions

    def learn(self, asked: Asked, *, keep: bool = True) -> Model:
        from clew.reconstruct.duckdb import learning, modelling

        settings = self._writing_settings() if keep else self.settings()
        with self._reporting:
            with self._at(None) as (connection, now, _):
                learning.choose(connection, asked, now)
            with self._file.workbench() as connection:
                found = modelling.find(connection, asked, settings)
        if not keep:
            with self._file.reading() as connection:
                return modelling.assembled(connection, found, current=False)
        with self._file.writing() as connection:
            model = modelling.assembled(connection, found, current=True)
            modelling.put(connection, model, found)
            self._judge_by(connection, model.number, settings)
        return model

    def model(self) -> Model | None:
        from clew.reconstruct.duckdb import models

        with self._file.reading() as connection:
            return next(iter(models.models(connection, number_in_use(connection))), None)

    def use_model(self, number: int) -> bool:
        from clew.reconstruct.duckdb import models

        settings = self._writing_settings()
        with self._file.writing() as connection:
            if number and not models.models(connection, number):
                return False
            self._judge_by(connection, number, settings)
        return True

    def _judge_by(self, connection: duckdb.DuckDBPyConnection, number: int, settings: Settings) -> None:
        """Have a model in use from now on, and judge again what it changes."""
        from clew.reconstruct.duckdb import modelling, rejudging

        before = self._judging(connection, settings)
        put_in_use(connection, number)
        now = self._judging(connection, settings)
        starts = modelling.changed_starts(before.definitions, now.definitions)
        if starts:
            rejudging.judge_again(connection, starts, now)

    def transitions(self, type: str | None = None) -> list[Transition]:
        from clew.reconstruct.duckdb import models

        with self._file.reading() as connection:
            return models.transitions(connection, type)

    def models(self) -> list[Model]:
        from clew.reconstruct.duckdb import models

        with self._file.reading() as connection:
            return models.models(connection)

    def rebuild(self, settings: Settings | None = None) -> Summary:
        from clew.reconstruct.duckdb import rebuilding

        chosen = settings or self._given or self.settings()
        with self._file.writing() as connection:
            rebuilding.rebuild(connection, self._judging(connection, chosen))
            keep_settings(connection, chosen)
        self._settings = self._given = chosen
        self.release()
        return self.summary()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read_settings(self, connection: duckdb.DuckDBPyConnection) -> Settings:
        if self._settings is None:
            stored = kept_settings(connection)
            self._settings = self._given or stored
        return self._settings

    def _judging(self, connection: duckdb.DuckDBPyConnection, settings: Settings) -> Settings:
        """``settings`` with the definitions of the model in use, which another process may have changed."""
        number = number_in_use(connection)
        if not number:
            return settings
        from clew.reconstruct.duckdb import models

        learned = self._learned
        if number != learned[0]:
            (model,) = models.models(connection, number)
            self._learned = learned = number, model.definitions
        return replace(settings, definitions=models.effective(settings.definitions, learned[1]))

    def _writing_settings(self) -> Settings:
        """The settings to write by; others than the stored ones are applied to what is stored."""
        if self._settings is not None and self._given is None:
            return self._settings
        with self._file.reading() as connection:
            stored = kept_settings(connection)
            empty = not connection.execute("SELECT count(*) FROM store.sources").fetchall()[0][0]
        chosen = self._given or stored
        if chosen != stored:
            # Which source is silent is asked when somebody looks: nothing that is stored depends on it.
            if empty or replace(chosen, silent_us=stored.silent_us) == stored:
                with self._file.writing() as connection:
                    keep_settings(connection, chosen)
            else:
                self.rebuild(chosen)
        self._settings, self._given = chosen, None
        return chosen

    @contextmanager
    def _now(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection whose ``store`` is the file, or within :meth:`joining` what is joined of it."""
        if self._joins is None:
            with self._file.reading() as connection:
                yield connection
            return
        from clew.reconstruct.duckdb import joining

        with self._file.reading_through(joining.show) as connection:
            yield connection

    @contextmanager
    def _at(
        self, as_of: datetime | None, *, one: bool = False
    ) -> Iterator[tuple[duckdb.DuckDBPyConnection, datetime | None, Settings]]:
        """A connection whose ``store`` holds what was known at ``as_of``, and that time (naive UTC).

        What is overdue is held back where its tellers were not read so far, but for who asks
        for ``one`` flow and does that for this flow alone.
        """
        wanted = as_of.astimezone(UTC).replace(tzinfo=None) if as_of is not None and as_of.tzinfo else as_of
        with self._file.reading() as connection:
            settings = self._judging(connection, self._read_settings(connection))
            newest = querying.newest(connection)
            if wanted is None or newest is None or wanted >= newest:
                with self._now() as present:
                    if not one:
                        judging.prepare(present, wanted or newest, settings)
                    yield present, wanted or newest, settings
                return
            from clew.reconstruct.duckdb import joining, rebuilding

            rebuilding.remember(connection, wanted)
        self._file.release()
        with self._file.workbench() as connection:
            if self._joins is not None:
                joining.rename(connection)
            rebuilding.relive(connection, settings)
            if self._joins is not None:
                joining.forget_answered(connection)
            try:
                if not one:
                    judging.prepare(connection, wanted, settings)
                yield connection, wanted, settings
            finally:
                connection.execute("DETACH store")
