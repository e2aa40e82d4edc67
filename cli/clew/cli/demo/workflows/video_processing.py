"""Video processing, a join of three: an aggregator waits for every part before it publishes."""

from __future__ import annotations

from clew.cli.demo.bus import HandlingFailed
from clew.cli.demo.facts import FlowFacts
from clew.cli.demo.service import Service
from clew.cli.demo.world import World
from clew.tracer import Event, correlated

_PARTS = ("VideoTranscoded", "ThumbnailsCreated", "MetadataExtracted")
UNKNOWN_CODEC = "hevc-12bit"


class EncoderCrashed(HandlingFailed):
    """The encoder died."""

    __module__ = "transcoder.encoder"


class FrameUnreadable(HandlingFailed):
    """A frame cannot be decoded."""

    __module__ = "thumbnail.frames"


class ProbeFailed(HandlingFailed):
    """The container cannot be read."""

    __module__ = "metadata.probe"


class VideoService(Service):
    """Takes uploads."""

    name = "video-service"
    depends_on = "object-store"

    def upload(self, flow: FlowFacts) -> None:
        """Serve ``POST /videos``."""
        anchor = self.world.begin(flow)
        video_id = flow.keys["video_id"]
        codec = UNKNOWN_CODEC if flow.scenario == "rejected" else "h264"
        with correlated(anchor.correlation_id), self.serving("POST", "/videos", status=201):
            self.info("upload finished", video_id=video_id)
            self.call("PUT", "object-store.example", f"/videos/{video_id}", 0.9)
            self.publish("videos", "VideoUploaded", video_id, {"video_id": video_id, "codec": codec})


class _Worker(Service):
    done: str
    median_s: float

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.consume("videos", "VideoUploaded", self._process)

    def _process(self, event: Event) -> None:
        video_id = event.data["video_id"]
        self.call("GET", "object-store.example", f"/videos/{video_id}", 0.5)
        self.work(self.median_s, 0.2)
        self.publish("video-parts", self.done, video_id, {"video_id": video_id})


class TranscoderService(_Worker):
    """Makes the renditions."""

    name = "transcoder-service"
    done = "VideoTranscoded"
    median_s = 100.0
    depends_on = "encoder"
    failure = EncoderCrashed
    failure_text = "encoder exited with signal 9"
    dead_letters = True
    parks = "resolution is above the plan's limit: skipped"

    def _process(self, event: Event) -> None:
        if event.data["codec"] != UNKNOWN_CODEC:
            super()._process(event)
            return
        video_id = event.data["video_id"]
        self.work(1.5)
        self.warn("codec %s is not supported", event.data["codec"], video_id=video_id)
        self.publish("video-parts", "TranscodingFailed", video_id, {"video_id": video_id})


class ThumbnailService(_Worker):
    """Cuts the preview pictures."""

    name = "thumbnail-service"
    done = "ThumbnailsCreated"
    median_s = 6.0
    depends_on = "frame-grabber"
    failure = FrameUnreadable
    failure_text = "frame 0 is not a key frame"
    parks = "no frame is bright enough: no thumbnails made"


class MetadataService(_Worker):
    """Reads length, size and language."""

    name = "metadata-service"
    done = "MetadataExtracted"
    median_s = 2.0
    depends_on = "prober"
    failure = ProbeFailed
    failure_text = "moov atom not found"
    parks = "container has no metadata: nothing written"


class PublisherService(Service):
    """Joins the parts and publishes the video."""

    name = "publisher-service"
    depends_on = "catalog-db"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._parts: dict[str, set[str]] = {}
        for part in _PARTS:
            self.consume("video-parts", part, self._join)
        self.consume("video-parts", "TranscodingFailed", self._reject)

    def _join(self, event: Event) -> None:
        video_id = event.data["video_id"]
        have = self._parts.setdefault(video_id, set())
        have.add(event.type)
        self.query("UPSERT", "video_parts")
        missing = [part for part in _PARTS if part not in have]
        if missing:
            self.info("still waiting for %s", ", ".join(missing), video_id=video_id)
            return
        del self._parts[video_id]
        self.end_flow()
        self.publish("videos", "VideoPublished", video_id, {"video_id": video_id})

    def _reject(self, event: Event) -> None:
        video_id = event.data["video_id"]
        self.query("UPDATE", "videos")
        self.end_flow()
        self.publish("videos", "VideoRejected", video_id, {"video_id": video_id})
