"""The event envelope: CloudEvents 1.0 with correlation and causation as extensions.

Sources: CloudEvents 1.0.2 core specification (attributes, names, type system), its JSON
format (structured and batch mode) and its Kafka, HTTP and AMQP bindings (binary mode).
"""

from __future__ import annotations

import json
import re
import uuid
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal
from urllib.parse import quote, unquote_to_bytes

from clew.tracer.errors import EnvelopeError

Headers = Mapping[str, str] | Iterable[tuple[str, bytes | str | None]]
"""Message headers as read: a mapping, or pairs as Kafka clients give them."""

Binding = Literal["kafka", "http", "amqp"]

SPEC_VERSION: Final = "1.0"
JSON_TYPE: Final = "application/json"
STRUCTURED_TYPE: Final = "application/cloudevents+json"

_BATCH_TYPE: Final = "application/cloudevents-batch"
_CONTENT_TYPE: Final = frozenset({"content-type", "content_type"})
_PREFIXES: Final[Mapping[Binding, str]] = {"kafka": "ce_", "http": "ce-", "amqp": "cloudEvents:"}
# AMQP's binding allows an underscore where a client's property names cannot hold a colon.
_READ_PREFIXES: Final = ("ce_", "ce-", "cloudevents:", "cloudevents_")
_SHORT_PREFIX: Final = len("ce_")
_LONG_PREFIX: Final = len("cloudevents:")
_NAME = re.compile(r"[a-z0-9]+")
# The CloudEvents String type excludes control characters, lone surrogates and noncharacters.
_FORBIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | end) for plane in range(17) for end in (0xFFFE, 0xFFFF))
    + "]"
)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_INT32: Final = 1 << 31

# Wire name → field, for the attributes that are fields of their own and plain strings.
_FIELDS: Final[Mapping[str, str]] = {
    "id": "id",
    "source": "source",
    "type": "type",
    "subject": "subject",
    "dataschema": "dataschema",
    "datacontenttype": "datacontenttype",
    "correlationid": "correlation_id",
    "causationid": "causation_id",
    "schemaversion": "schema_version",
}
_RESERVED: Final = frozenset({*_FIELDS, "specversion", "time", "data", "data_base64"})
_REQUIRED: Final = ("id", "source", "type")


def new_id() -> str:
    """Make an ID for an event or a flow: a random UUID."""
    return str(uuid.uuid4())


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event. Immutable; raises :class:`EnvelopeError` for what CloudEvents forbids.

    ``data`` is a JSON value, text or bytes: a JSON value where ``datacontenttype`` is
    JSON (or absent, which means JSON), text where it is ``text/…``, bytes otherwise.
    None means no data. ``time`` needs a zone. ``extensions`` are further context
    attributes (lower-case letters and digits; str, bool or 32-bit int).
    """

    type: str
    source: str
    data: Any = None
    id: str = field(default_factory=new_id)
    time: datetime | None = field(default_factory=_now)
    correlation_id: str | None = None
    """The flow that this event belongs to (extension ``correlationid``)."""
    causation_id: str | None = None
    """ID of the event whose handling made this one (extension ``causationid``)."""
    schema_version: str | None = None
    """Version of the type's schema (extension ``schemaversion``)."""
    dataschema: str | None = None
    subject: str | None = None
    datacontenttype: str | None = JSON_TYPE
    extensions: Mapping[str, str | bool | int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self._is_plain():
            for wire, name in _FIELDS.items():
                value = getattr(self, name)
                if value is not None or wire in _REQUIRED:
                    _check_text(wire, value)
        if self.time is not None and self.time.tzinfo is None:
            raise EnvelopeError("needs a time zone", attribute="time")
        for wire, value in self.extensions.items():
            _check_extension(wire, value)

    def _is_plain(self) -> bool:
        """Whether all text is fine at a glance: one search instead of one per attribute."""
        optional = (
            self.subject,
            self.dataschema,
            self.datacontenttype,
            self.correlation_id,
            self.causation_id,
            self.schema_version,
        )
        texts = [self.id, self.source, self.type, *(text for text in optional if text is not None)]
        try:
            return all(texts) and not _FORBIDDEN.search("".join(texts))
        except TypeError:
            return False

    def attributes(self) -> dict[str, str | bool | int]:
        """Context attributes by wire name: ``specversion`` first, absent ones left out."""
        out: dict[str, str | bool | int] = {"specversion": SPEC_VERSION}
        for wire, name in _FIELDS.items():
            value = getattr(self, name)
            if value is not None:
                out[wire] = value
        if self.time is not None:
            out["time"] = rfc3339(self.time)
        out.update(self.extensions)
        return out

    def to_structured(self) -> dict[str, Any]:
        """Give the event as CloudEvents' JSON format has it, as a dict."""
        out: dict[str, Any] = self.attributes()
        if isinstance(self.data, bytes):
            out["data_base64"] = b64encode(self.data).decode("ascii")
        elif self.data is not None:
            out["data"] = self.data
        return out

    def to_json(self) -> str:
        """Give the event as one line of JSON (structured mode)."""
        return _dump(self.to_structured())

    def to_binary(self, binding: Binding = "kafka") -> tuple[dict[str, str], bytes]:
        """Give headers and body (binary mode) for a Kafka, HTTP or AMQP message.

        HTTP percent-encodes what its header values cannot hold, as its binding says.
        """
        prefix = _PREFIXES[binding]
        headers: dict[str, str] = {}
        for wire, value in self.attributes().items():
            if wire == "datacontenttype":
                headers["content-type"] = str(value)
            else:
                text = _canonical(value)
                headers[prefix + wire] = _percent_encode(text) if binding == "http" else text
        return headers, self._body()

    def _body(self) -> bytes:
        data = self.data
        if data is None:
            return b""
        if isinstance(data, bytes):
            return data
        if not is_json(self.datacontenttype):
            if isinstance(data, str):
                return _encode(data)
            raise EnvelopeError(
                f"{type(data).__name__} does not fit {self.datacontenttype}: give text or bytes",
                attribute="data",
            )
        return _encode(_dump(data))

    @classmethod
    def from_structured(cls, value: object) -> Event:
        """Read an event from the parsed JSON object of structured mode."""
        if not isinstance(value, Mapping):
            raise EnvelopeError(f"an event is a JSON object, not {_kind(value)}")
        _check_version(value.get("specversion"))
        given = {name: item for name, item in value.items() if item is not None}
        if "data" in given and "data_base64" in given:
            raise EnvelopeError("stands beside data; only one may be given", attribute="data_base64")
        data = given.get("data")
        if "data_base64" in given:
            data = _from_base64(given["data_base64"])
        return _build(given, data=data, content_type=given.get("datacontenttype"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Event:
        """Read an event from JSON (structured mode)."""
        return cls.from_structured(_parse(text, "not JSON"))

    @classmethod
    def batch_from_json(cls, text: str | bytes) -> list[Event]:
        """Read the events of a JSON array (batch mode)."""
        value = _parse(text, "not JSON")
        if not isinstance(value, list):
            raise EnvelopeError(f"a batch is a JSON array, not {_kind(value)}")
        return [cls.from_structured(item) for item in value]

    @classmethod
    def from_message(cls, headers: Headers, body: bytes | None) -> Event:
        """Read an event from a message in structured or binary mode, as its content type says."""
        pairs = list(header_pairs(headers))
        for name, raw in pairs:
            if name.lower() in _CONTENT_TYPE:
                content_type = _header_text("datacontenttype", raw).strip().lower()
                if content_type.startswith(_BATCH_TYPE):
                    raise EnvelopeError("a batch holds several events: use batch_from_json")
                if content_type.startswith("application/cloudevents"):
                    return cls.from_json(body or b"")
        return cls.from_binary(pairs, body)

    @classmethod
    def from_binary(cls, headers: Headers, body: bytes | None) -> Event:
        """Read an event from a message's headers and body (binary mode).

        Header names are matched without regard to case, with any binding's prefix;
        of repeated headers the last counts. Other headers are ignored. Extensions
        come back as text, which is all that headers hold.
        """
        given: dict[str, str] = {}
        content_type: str | None = None
        for name, raw in header_pairs(headers):
            lower = name.lower()
            if lower in _CONTENT_TYPE:
                content_type = _header_text("datacontenttype", raw)
            elif lower.startswith(_READ_PREFIXES):
                wire = lower[_LONG_PREFIX if lower.startswith("cloudevents") else _SHORT_PREFIX :]
                text = _header_text(wire, raw)
                given[wire] = _percent_decode(wire, text) if lower.startswith("ce-") else text
        if not given:
            raise EnvelopeError("no ce_ header: not a CloudEvents message in binary mode")
        _check_version(given.get("specversion"))
        if "data" in given or "data_base64" in given:
            raise EnvelopeError("cannot be a header", attribute="data")
        return _build(given, data=_read_body(body, content_type), content_type=content_type)


def is_json(content_type: str | None) -> bool:
    """Whether data of this media type is JSON; absent means JSON (CloudEvents 1.0)."""
    if content_type is None:
        return True
    media = content_type.split(";", 1)[0].strip().lower()
    return media.endswith(("/json", "+json"))


def rfc3339(time: datetime) -> str:
    """Write a time as UTC with microseconds and ``Z``."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def header_pairs(headers: Headers) -> Iterable[tuple[str, bytes | str | None]]:
    """Give headers as pairs, whichever form they came in."""
    return headers.items() if isinstance(headers, Mapping) else headers


def _build(given: Mapping[str, Any], *, data: Any, content_type: str | None) -> Event:
    for wire in _REQUIRED:
        if wire not in given:
            raise EnvelopeError("is required and missing", attribute=wire)
    known = {name: given[wire] for wire, name in _FIELDS.items() if wire in given}
    known["datacontenttype"] = content_type
    extensions = {wire: value for wire, value in given.items() if wire not in _RESERVED}
    return Event(
        **known,
        data=data,
        time=_read_time(given["time"]) if "time" in given else None,
        extensions=extensions,
    )


def _check_text(attribute: str, value: object) -> None:
    if not isinstance(value, str):
        raise EnvelopeError(f"must be text, not {_kind(value)}", attribute=attribute)
    if not value:
        raise EnvelopeError("must not be empty", attribute=attribute)
    bad = _FORBIDDEN.search(value)
    if bad:
        raise EnvelopeError(
            f"character U+{ord(bad[0]):04X} at {bad.start()} is not allowed", attribute=attribute
        )


def _check_extension(wire: str, value: object) -> None:
    if not _NAME.fullmatch(wire):
        raise EnvelopeError(
            "an extension's name has only lower-case letters and digits", attribute=_visible(wire)
        )
    if wire in _RESERVED:
        raise EnvelopeError("is an attribute of its own, not an extension", attribute=wire)
    if isinstance(value, bool):
        return
    if isinstance(value, int):
        if not -_INT32 <= value < _INT32:
            raise EnvelopeError(f"{value} does not fit 32 bits", attribute=wire)
    elif value != "":
        _check_text(wire, value)


def _check_version(version: object) -> None:
    if version is None:
        raise EnvelopeError("is required and missing", attribute="specversion")
    if version != SPEC_VERSION:
        raise EnvelopeError(
            f"{_visible(version)} is not supported: only {SPEC_VERSION} is", attribute="specversion"
        )


def _read_time(value: object) -> datetime:
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise EnvelopeError(f"{_visible(value)} is not an RFC 3339 time with a zone", attribute="time")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise EnvelopeError(f"{_visible(value)}: {error}", attribute="time") from None


def _read_body(body: bytes | None, content_type: str | None) -> Any:
    if not body:
        return None
    if is_json(content_type):
        return _parse(body, "the body is not JSON", attribute="data")
    if content_type is not None and content_type.strip().lower().startswith("text/"):
        return _header_text("data", body)
    return body


def _parse(text: str | bytes, problem: str, *, attribute: str = "") -> Any:
    try:
        # RFC 8259: JSON between systems is UTF-8; a reader may ignore a byte order mark.
        return _decode_json(text if isinstance(text, str) else text.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise EnvelopeError(f"{problem}: {error}", attribute=attribute) from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_decode_json: Final[Callable[[str], Any]] = json.JSONDecoder(parse_constant=_refuse_constant).decode


def _dump(value: Any) -> str:
    try:
        return _encode_json(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise EnvelopeError(f"cannot be written as JSON: {error}", attribute="data") from None


_encode_json: Final[Callable[[Any], str]] = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def _encode(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise EnvelopeError(f"cannot be written as UTF-8: {error.reason}", attribute="data") from None


def _header_text(attribute: str, raw: bytes | str | None) -> str:
    if raw is None:
        raise EnvelopeError("the header has no value", attribute=attribute)
    if isinstance(raw, str):
        return raw
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise EnvelopeError(f"not UTF-8 at byte {error.start}", attribute=attribute) from None


def _canonical(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


# Printable ASCII but space, double quote and percent stays as it is (HTTP binding 3.1.3.2).
_HTTP_SAFE: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')


def _percent_encode(text: str) -> str:
    return quote(text, safe=_HTTP_SAFE)


def _percent_decode(attribute: str, text: str) -> str:
    return _header_text(attribute, unquote_to_bytes(text))


def _from_base64(value: object) -> bytes:
    if not isinstance(value, str):
        raise EnvelopeError(f"must be text, not {_kind(value)}", attribute="data_base64")
    try:
        return b64decode(value, validate=True)
    except (Base64Error, ValueError) as error:
        raise EnvelopeError(f"not base64: {error}", attribute="data_base64") from None


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__


def _visible(value: object) -> str:
    """Quote a foreign value for a message: bounded, control characters escaped."""
    text = ascii(value)
    return text if len(text) <= 80 else text[:77] + "..."  # noqa: PLR2004 - a line of a terminal
