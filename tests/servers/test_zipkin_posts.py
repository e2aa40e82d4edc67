"""The spans that Zipkin is given are those that clew is given."""

from __future__ import annotations

import json
from pathlib import Path

from tests.generators.otlp import write_spans
from tests.servers.zipkin_posts import write_posts


def test_every_span_is_posted_once_with_its_parent_times_and_attributes(tmp_path: Path) -> None:
    write_spans(tmp_path / "otlp.jsonl", 2_500)
    assert write_posts(tmp_path / "otlp.jsonl", tmp_path / "posts.jsonl") == 2_500
    posts = [json.loads(line) for line in (tmp_path / "posts.jsonl").read_text().splitlines()]
    assert [len(post) for post in posts] == [1000, 1000, 500]
    posted = {span["id"]: span for post in posts for span in post}
    lines = (tmp_path / "otlp.jsonl").read_text().splitlines()
    resources = [json.loads(line)["resourceSpans"][0] for line in lines]
    given = [span for resource in resources for span in resource["scopeSpans"][0]["spans"]]
    assert len(posted) == len(given) == 2_500
    for span in given:
        made = posted[span["spanId"]]
        assert (made["traceId"], made.get("parentId")) == (span["traceId"], span.get("parentSpanId"))
        assert made["timestamp"] * 1000 == int(span["startTimeUnixNano"])
        assert (made["timestamp"] + made["duration"]) * 1000 == int(span["endTimeUnixNano"])
        assert len(made["tags"]) == len(span["attributes"]) + 2 + 2 * ("code" in span["status"])
        assert ("error" in made["tags"]) == ("code" in span["status"])
    assert {span["kind"] for span in posted.values()} == {"SERVER", "PRODUCER", "CONSUMER"}
