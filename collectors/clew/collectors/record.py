"""The Record: one row per observation, and the Batch in which Records travel.

Names follow OpenTelemetry's semantic conventions and CloudEvents. This module is
what collectors and the engine share, and so it imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


class Kind(StrEnum):
    """What sort of observation a Record is."""

    LOG = "log"
    SPAN = "span"
    MESSAGE = "message"
    DEAD_LETTER = "dead_letter"
    HISTORY = "history"


class Operation(StrEnum):
    """OpenTelemetry's ``messaging.operation.type``.

    A history's scheduled activity, timer or child is a ``send`` whose answer is a
    ``process`` with the same event ID; so one rule finds what is owed in both.
    """

    CREATE = "create"
    SEND = "send"
    RECEIVE = "receive"
    PROCESS = "process"
    SETTLE = "settle"


class Column(NamedTuple):
    """One column of the Record: its name, DuckDB type and meaning."""

    name: str
    type: str
    meaning: str


RECORD: tuple[Column, ...] = (
    Column("kind", "VARCHAR", "log, span, message, dead_letter or history"),
    Column("time", "TIMESTAMP", "UTC, microseconds; NULL when the input states none"),
    Column("end_time", "TIMESTAMP", "UTC; NULL for what is a point in time or has not ended"),
    Column("service", "VARCHAR", "service.name"),
    Column("name", "VARCHAR", "event type or span name; NULL for a log that names no event"),
    Column("operation", "VARCHAR", "create, send, receive, process, settle or NULL"),
    Column("span_kind", "VARCHAR", "server, client, producer, consumer, internal or NULL"),
    Column("event_id", "VARCHAR", "the event's or message's own ID"),
    Column("correlation_id", "VARCHAR", "value of the best instance-like key found"),
    Column("correlation_key", "VARCHAR", "name under which correlation_id was found, as written"),
    Column("causation_id", "VARCHAR", "event ID of the event that caused this one"),
    Column("trace_id", "VARCHAR", "lower-case hexadecimal where the source is hexadecimal"),
    Column("span_id", "VARCHAR", "a span's own ID; for a log the span it was written in"),
    Column("parent_span_id", "VARCHAR", "NULL for a root"),
    Column("links", "VARCHAR", 'JSON: [{"trace_id": …, "span_id": …}, …] or NULL'),
    Column("system", "VARCHAR", "messaging.system: kafka, rabbitmq, temporal, …"),
    Column("destination", "VARCHAR", "topic, queue, exchange, subject or task queue"),
    Column("partition", "INTEGER", "of the destination"),
    Column("offset", "BIGINT", "within the partition"),
    Column("consumer_group", "VARCHAR", "consumer group or subscription"),
    Column("attempt", "INTEGER", "1 for the first delivery; NULL when not stated"),
    Column("severity", "VARCHAR", "TRACE, DEBUG, INFO, WARN, ERROR, FATAL or NULL"),
    Column("status", "VARCHAR", "ok, error or unset (spans and histories); NULL otherwise"),
    Column("outcome", "VARCHAR", "the workflow instance ended thus: completed, failed, cancelled"),
    Column("error_type", "VARCHAR", "exception class or error code"),
    Column("error_message", "VARCHAR", "what went wrong, as written"),
    Column("schema_version", "VARCHAR", "of the event type"),
    Column("body", "VARCHAR", "a log's message, or a message's payload as text"),
    Column("keys", "VARCHAR", "JSON object of the other ID-like attributes, or NULL"),
    Column("attributes", "VARCHAR", "JSON object of everything else, or NULL"),
    Column("identity", "VARCHAR", "the source's own identity of this record, or NULL for content"),
    Column("position", "BIGINT", "line, element or offset within the source, first is 1"),
)
"""What a format's SELECT gives, in this order, followed by ``reject``.

``reject`` (VARCHAR) is NULL for a Record; otherwise it is the reason why the raw
input at ``position`` could not be decoded, and ``body`` holds the raw text.
``source`` and ``scope`` are the batch's and are added by the store.
"""

KEY_NAMES: dict[str, tuple[str, ...]] = {
    "instance": (
        "correlation_id",
        "correlationId",
        "correlationID",
        "CorrelationId",
        "CorrelationID",
        "correlationid",
        "correlation-id",
        "Correlation-ID",
        "x-correlation-id",
        "X-Correlation-ID",
        "X-Correlation-Id",
        "x_correlation_id",
        "ce_correlationid",
        "ce-correlationid",
        "correlation.id",
        "messaging.message.conversation_id",
        "messaging.conversation_id",
        "conversation_id",
        "conversationId",
        "ConversationId",
        "NServiceBus.ConversationId",
        "NServiceBus.CorrelationId",
        "workflow_id",
        "workflowId",
        "WorkflowId",
        "WorkflowID",
        "temporalWorkflowID",
        "saga_id",
        "sagaId",
        "SagaId",
        "process_instance_id",
        "processInstanceId",
        "flow_id",
        "flowId",
        "execution_arn",
        "executionArn",
    ),
    "entity": (
        "order_id",
        "orderId",
        "OrderId",
        "order.id",
        "app.order.id",
        "customer_id",
        "customerId",
        "user_id",
        "userId",
        "account_id",
        "accountId",
        "payment_id",
        "paymentId",
        "shipment_id",
        "shipmentId",
        "invoice_id",
        "invoiceId",
        "transaction_id",
        "transactionId",
        "video_id",
        "videoId",
        "business_key",
        "businessKey",
    ),
    "group": ("tenant_id", "tenantId", "tenant", "session_id", "sessionId", "batch_id", "batchId"),
    "hop": (
        "request_id",
        "requestId",
        "RequestId",
        "x-request-id",
        "X-Request-ID",
        "X-Request-Id",
        "x_request_id",
        "http.request_id",
        "http.request.id",
    ),
}
"""Names under which IDs hide, by the class each has unless configured otherwise.

Instance names come in order of preference: the first one found is ``correlation_id``,
every other known or configured name found goes to ``keys`` as written.
"""

RECORD_COLUMNS: tuple[str, ...] = tuple(column.name for column in RECORD)


@dataclass(frozen=True, slots=True)
class Reject:
    """Input that could not be decoded: nothing vanishes.

    ``raw`` holds at most the first 4 KiB of the offending bytes.
    """

    position: int
    reason: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Watermark:
    """Up to when (UTC, epoch microseconds) a source has told everything it knows."""

    time_us: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Lag:
    """How many messages a consumer had before it at a time (UTC, epoch microseconds), as a metric tells."""

    consumer: str
    """The consumer group, or the queue."""
    destination: str
    partition: int | None
    time_us: int
    messages: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """What of one row of a batch's ``raw`` was rejected while it was stored."""

    count: int
    """Records, or 1 for a row in which none was found."""
    reason: str
    """Of the first of them."""
    stored: int
    """Records of the same row that were not rejected."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch that somebody waits for."""

    committed: bool
    """False: nothing of it was stored, and reading goes on before it."""
    records: int = 0
    """Read and stored, now or before."""
    rejected: Mapping[int, Rejected] = field(default_factory=dict)
    """By position, of those rows of which something was rejected; at most the first thousand."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a collector yields: one unit of commit.

    ``raw`` is a table of undecoded input and ``select`` is one SELECT over a
    relation named ``raw`` that gives the columns of :data:`RECORD` in their order
    and then ``reject``. So a store that runs SQL decodes without a copy, and any
    other calls :meth:`records`. ``position`` is where to go on after this batch,
    opaque to the store, and is committed in the same transaction as the Records.
    An empty batch (``raw`` is None) only moves the position.
    """

    source: str
    raw: pa.Table | None
    select: str
    position: str
    rejects: tuple[Reject, ...] = ()
    watermark: Watermark | None = None
    scope: str = ""
    format: str = ""
    first: bool = False
    """The source is read from its beginning (a new, replaced or truncated file, another
    standard input): counting of identical lines begins anew with this batch."""
    short: str | None = None
    """A cheaper SELECT that decodes some rows of ``raw``, each to one Record, exactly as
    ``select`` would. What it rejects, told by its ``position``, is left to ``select``.
    Only for batches that are ``rowwise``."""
    rowwise: bool = False
    """Every row of ``raw`` decodes by itself, whatever stands beside it: so batches of one
    ``select`` may be decoded together, which saves planning it anew for each small file."""
    bytes: int = 0
    """Size of the input behind this batch, as read (compressed where it is)."""
    total_bytes: int | None = None
    """Size of the whole source in the same unit, None when it cannot be known."""
    more: bool = False
    """More of this source lies behind ``position``, unread: up to when it has told all is the
    newest time it told. Otherwise, without a ``watermark``, it was read to its end for good."""
    files: tuple[str, ...] = field(default=())
    apart: bool = False
    """Every row of ``raw`` is an input of its own, such as a request that may be sent again:
    identical lines are counted within it alone."""
    again: bool = False
    """Something in it may have been stored before under another time, because a source that
    tells none gave it again: an identity is looked for whatever its record's time."""
    lags: tuple[Lag, ...] = ()
    """What is told of consumers beside the records."""
    settle: Callable[[Outcome], None] | None = None
    """For a source that waits for an answer or an acknowledgement: called once by whoever
    stores the batch, in whatever thread, after its transaction is committed, or when it
    failed. It must be quick and raise nothing. Where a kill comes between the commit and
    this call, the source gives the same input again, which adds nothing."""

    def records(self) -> pa.Table:
        """Decode: the columns of :data:`RECORD`, then ``reject``."""
        import duckdb

        with duckdb.connect() as connection:
            # A cast from a zoned time gives local time otherwise.
            connection.execute("SET TimeZone = 'UTC'")
            if self.raw is None:
                table: pa.Table = connection.sql(empty_select()).to_arrow_table()
                return table
            return decoded(connection, self.raw, self.select, self.short)


def decoded(
    connection: duckdb.DuckDBPyConnection, raw: pa.Table, select: str, short: str | None = None
) -> pa.Table:
    """The rows of ``select`` over ``raw``, those that ``short`` knows by it."""
    import pyarrow as pa

    connection.register("raw", raw)
    if short is None:
        table: pa.Table = connection.sql(select).to_arrow_table()
        return table
    known: pa.Table = connection.sql(f"SELECT * FROM ({short}) WHERE reject IS NULL").to_arrow_table()
    connection.register("known", known)
    connection.register("input", raw)
    connection.execute(
        "CREATE OR REPLACE TEMP VIEW raw AS FROM input WHERE position NOT IN (SELECT position FROM known)"
    )
    rest: pa.Table = connection.sql(select).to_arrow_table()
    return pa.concat_tables([known, rest])


def empty_select() -> str:
    """A SELECT that gives no row and every column of a batch."""
    columns = ", ".join(f'NULL::{column.type} AS "{column.name}"' for column in RECORD)
    return f"SELECT {columns}, NULL::VARCHAR AS reject WHERE false"
