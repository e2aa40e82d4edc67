"""A schema registry that speaks Confluent's API, and what is framed for it.

The frame (Confluent's "wire format"): a zero byte, the schema's ID in four bytes, big-endian, the
payload. One client for Confluent's registry, Karapace, Apicurio (its ``/apis/ccompat/v7``) and
Redpanda's, which all answer ``GET /schemas/ids/{id}`` and ``/subjects/{name}/versions/{number}``.
"""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from clew.collectors.errors import SourceUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT_S = 10.0
ANEW_S = 60.0
"""An ID that is not known is asked for again after so long: it may have been registered since."""


class SchemaError(Exception):
    """A value cannot be decoded by its schema; says why."""


class Decoder(Protocol):
    """Decodes the payloads of one schema."""

    def __call__(self, payload: bytes) -> bytes:
        """A JSON object.

        Raises:
            SchemaError: the payload is not of the schema.
        """
        ...


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema as the registry has it."""

    text: str
    type: str
    """AVRO, JSON or PROTOBUF"""
    references: Mapping[str, Schema]
    """Schemas that its text names, by the name that it uses."""


class Registry:
    """Fetches each schema once.

    Where the registry does not answer, SourceUnavailable is raised: the values are good, and
    are to be read again later.
    """

    def __init__(self, url: str, auth: str | None = None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Accept": "application/vnd.schemaregistry.v1+json, application/json"}
        if auth is not None:
            self._headers["Authorization"] = "Basic " + base64.b64encode(auth.encode()).decode()
        self._decoders: dict[int, Decoder] = {}
        self._unknown: dict[int, tuple[float, str]] = {}

    def decode(self, number: int, payload: bytes) -> bytes:
        """A payload as a JSON object.

        Raises:
            SchemaError: the schema is not known, cannot be read, or not of this payload.
            SourceUnavailable: the registry does not answer.
        """
        decoder = self._decoders.get(number)
        if decoder is None:
            decoder = self._decoders[number] = self._made(number)
        return decoder(payload)

    def _made(self, number: int) -> Decoder:
        since, reason = self._unknown.get(number, (0.0, ""))
        if reason and time.monotonic() - since < ANEW_S:
            raise SchemaError(reason)
        try:
            return decoder(number, self._schema(f"/schemas/ids/{number}"))
        except SchemaError as error:
            reason = f"schema {number}: {error}"
            self._unknown[number] = (time.monotonic(), reason)
            raise SchemaError(reason) from error

    def _schema(self, path: str, depth: int = 0) -> Schema:
        told = self._ask(path)
        if depth > 16:  # noqa: PLR2004  nobody nests so deep
            raise SchemaError("its references lead too deep")
        references = {}
        for one in told.get("references") or ():
            subject = urllib.parse.quote(str(one["subject"]), safe="")
            version = int(one["version"])
            references[str(one["name"])] = self._schema(f"/subjects/{subject}/versions/{version}", depth + 1)
        return Schema(str(told["schema"]), str(told.get("schemaType") or "AVRO").upper(), references)

    def _ask(self, path: str) -> dict[str, Any]:
        request = urllib.request.Request(self._url + path, headers=self._headers)  # noqa: S310  checked with the settings
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310  likewise
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                raise SchemaError("the schema registry does not know it") from error
            raise SourceUnavailable(
                f"the schema registry at {self._url} answered {error.code} {error.reason}",
                help="check --registry and --registry-auth",
            ) from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise SourceUnavailable(
                f"the schema registry at {self._url} does not answer: {reason}", help="check --registry"
            ) from error
        if not isinstance(found, dict) or "schema" not in found:
            raise SchemaError("the schema registry gave no schema")
        return found


def decoder(number: int, schema: Schema) -> Decoder:
    """What decodes the payloads of a schema.

    Raises:
        SchemaError: the schema cannot be read.
    """
    match schema.type:
        case "AVRO":
            from clew.collectors.kafka.avro import AvroDecoder

            return AvroDecoder(number, schema)
        case "PROTOBUF":
            from clew.collectors.kafka.protobuf import ProtobufDecoder

            return ProtobufDecoder(number, schema)
        case "JSON":
            return JsonDecoder(number, schema)
    raise SchemaError(f"of type {schema.type}, which is not known here")


class JsonDecoder:
    """JSON stands in the frame as it is. It is not validated: what is there counts."""

    def __init__(self, number: int, schema: Schema) -> None:
        try:
            title = json.loads(schema.text).get("title")
        except (ValueError, AttributeError):
            title = None
        self._start = beginning(number, title if isinstance(title, str) else None)

    def __call__(self, payload: bytes) -> bytes:
        """See :class:`Decoder`."""
        return with_members(self._start, payload.strip())


def beginning(number: int, name: str | None) -> bytes:
    """How the object of a value begins: its schema's ID and the name of its type."""
    named = f'"kafka.schema":{json.dumps(name)},' if name else ""
    return f'{{{named}"kafka.schema_id":{number}'.encode()


def with_members(start: bytes, value: bytes) -> bytes:
    """``start`` with the members of a JSON object; with the value itself where it is none."""
    if value[:1] != b"{":
        return start + b',"kafka.value":' + value + b"}"
    rest = value[1:].lstrip()
    return start + (b"" if rest[:1] == b"}" else b",") + rest
