"""Protobuf values. Each is decoded by itself; the schema's text is compiled by protoc, once for each ID."""

from __future__ import annotations

import importlib.resources
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from clew.collectors.kafka.registry import Schema, SchemaError, beginning, with_members

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.descriptor_pb2 import FileDescriptorSet

_FILE = "value.proto"
_COMPILE_S = 60


class ProtobufDecoder:
    """Decodes the payloads of one schema file, whichever of its messages they are.

    The payload begins with the message's place among the messages of the file: the number of
    indexes and each of them as zigzag varints, or one zero byte for the first message.
    """

    def __init__(self, number: int, schema: Schema) -> None:
        from google.protobuf import descriptor_pool

        self._number = number
        described = _compiled(schema)
        self._pool = descriptor_pool.DescriptorPool()
        try:
            for file in described.file:
                self._pool.Add(file)
        except TypeError as error:
            raise SchemaError(f"not a Protobuf schema: {error}") from error
        self._file = next(file for file in described.file if file.name == _FILE)
        self._messages: dict[tuple[int, ...], tuple[Any, bytes]] = {}

    def __call__(self, payload: bytes) -> bytes:
        """See :class:`clew.collectors.kafka.registry.Decoder`."""
        from google.protobuf.json_format import Error, MessageToJson
        from google.protobuf.message import DecodeError

        place, start = _place(payload)
        made, head = self._message(place)
        message = made()
        try:
            message.ParseFromString(payload[start:])
            text = MessageToJson(
                message, preserving_proto_field_name=True, indent=None, descriptor_pool=self._pool
            )
        except (DecodeError, Error, ValueError, TypeError) as error:
            raise SchemaError(f"not Protobuf of its schema: {error}") from error
        return with_members(head, text.encode())

    def _message(self, place: tuple[int, ...]) -> tuple[Any, bytes]:
        known = self._messages.get(place)
        if known is not None:
            return known
        from google.protobuf.message_factory import GetMessageClass

        level: Any = self._file.message_type
        names = [self._file.package] if self._file.package else []
        for index in place:
            if not 0 <= index < len(level):
                raise SchemaError(f"not Protobuf of its schema: it has no message {place}")
            names.append(level[index].name)
            level = level[index].nested_type
        name = ".".join(names)
        found: Any = self._pool.FindMessageTypeByName(name)
        self._messages[place] = GetMessageClass(found), beginning(self._number, name)
        return self._messages[place]


def _place(payload: bytes) -> tuple[tuple[int, ...], int]:
    """The indexes at the start of a payload, and where they end."""
    count, at = _varint(payload, 0)
    if count == 0:
        return (0,), at
    if not 0 < count <= len(payload):
        raise SchemaError("not Protobuf of its schema: its message indexes are broken")
    indexes = []
    for _ in range(count):
        index, at = _varint(payload, at)
        indexes.append(index)
    return tuple(indexes), at


def _varint(payload: bytes, at: int) -> tuple[int, int]:
    shift = value = 0
    while at < len(payload) and shift < 64:  # noqa: PLR2004  bits of a varint
        byte = payload[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004  the last byte of it
            return (value >> 1) ^ -(value & 1), at
        shift += 7
    raise SchemaError("not Protobuf of its schema: its message indexes are broken")


def _compiled(schema: Schema) -> FileDescriptorSet:
    """The descriptors of a schema and all it refers to.

    Raises:
        SchemaError: protoc does not take it, or is not installed.
    """
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    if importlib.util.find_spec("grpc_tools") is None:
        raise SchemaError("Protobuf needs the module grpc_tools: pip install 'clew[kafka]'")
    known = importlib.resources.files("grpc_tools") / "_proto"
    with (
        tempfile.TemporaryDirectory(prefix="clew-proto-") as made,
        importlib.resources.as_file(known) as include,
    ):
        folder = Path(made)
        _put(folder, {_FILE: schema})
        out = folder / "descriptors"
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}", f"-I{include}"]
        command += ["--include_imports", f"--descriptor_set_out={out}", _FILE]
        done = subprocess.run(  # noqa: S603  this interpreter, and a file's name of ours
            command, capture_output=True, text=True, check=False, timeout=_COMPILE_S
        )
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["protoc gave no reason"])[0]
            raise SchemaError(f"not a Protobuf schema: {said}")
        return FileDescriptorSet.FromString(out.read_bytes())


def _put(folder: Path, schemas: Mapping[str, Schema]) -> None:
    for name, schema in schemas.items():
        path = PurePosixPath(name)
        # The name comes from outside.
        if path.is_absolute() or ".." in path.parts or "\x00" in name or not path.parts:
            raise SchemaError(f"its reference {name!r} is no file name")
        if name.startswith("google/protobuf/"):
            continue
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(schema.text, encoding="utf-8")
        _put(folder, schema.references)
