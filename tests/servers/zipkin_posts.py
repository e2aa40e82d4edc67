"""The spans of an OTLP JSON file as Zipkin v2 posts, one request body per line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

SPANS_PER_POST: Final = 1000
_KINDS: Final = {2: "SERVER", 3: "CLIENT", 4: "PRODUCER", 5: "CONSUMER"}


def write_posts(otlp: Path, posts: Path) -> int:
    """Write each span of ``otlp`` (a request per line) once; give their number.

    A post holds 1000 spans, the last one what is left. The mapping is that of
    OpenTelemetry's specification, "Transformation to Zipkin": attributes become tags, times
    microseconds, and a status of ERROR the tag ``error``.
    """
    written = 0
    batch: list[dict[str, Any]] = []
    with posts.open("w", encoding="ascii", newline="\n", buffering=1 << 20) as file:
        for span in _spans(otlp):
            batch.append(span)
            if len(batch) == SPANS_PER_POST:
                file.write(json.dumps(batch, separators=(",", ":")) + "\n")
                written += len(batch)
                batch = []
        if batch:
            file.write(json.dumps(batch, separators=(",", ":")) + "\n")
    return written + len(batch)


def _spans(otlp: Path) -> Iterator[dict[str, Any]]:
    with otlp.open("rb") as file:
        for line in file:
            for resource in json.loads(line)["resourceSpans"]:
                tags = _tags(resource["resource"]["attributes"])
                service = tags.pop("service.name")
                for scope in resource["scopeSpans"]:
                    for span in scope["spans"]:
                        yield _span(span, service, tags)


def _span(span: dict[str, Any], service: str, tags: dict[str, str]) -> dict[str, Any]:
    began_us = int(span["startTimeUnixNano"]) // 1000
    made: dict[str, Any] = {"traceId": span["traceId"], "id": span["spanId"], "name": span["name"]}
    if "parentSpanId" in span:
        made["parentId"] = span["parentSpanId"]
    if span["kind"] in _KINDS:
        made["kind"] = _KINDS[span["kind"]]
    made["timestamp"] = began_us
    made["duration"] = max(1, int(span["endTimeUnixNano"]) // 1000 - began_us)
    made["localEndpoint"] = {"serviceName": service}
    made["tags"] = tags | _tags(span["attributes"])
    if span["status"].get("code") == 2:
        made["tags"] |= {"otel.status_code": "ERROR", "error": span["status"].get("message", "")}
    return made


def _tags(attributes: list[dict[str, Any]]) -> dict[str, str]:
    return {each["key"]: str(next(iter(each["value"].values()))) for each in attributes}
