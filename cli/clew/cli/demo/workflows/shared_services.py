"""Services that several workflows end in."""

from __future__ import annotations

from clew.cli.demo.service import Service
from clew.cli.demo.world import World
from clew.tracer import Event


class NotificationService(Service):
    """Mails the customer when an order or a video is done, one way or another."""

    name = "notification-service"
    depends_on = "smtp.example"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        for topic, event_type in (
            ("orders", "OrderCompleted"),
            ("orders", "OrderRejected"),
            ("orders", "OrderCancelled"),
            ("orders", "OrderRefunded"),
            ("videos", "VideoPublished"),
            ("videos", "VideoRejected"),
        ):
            self.consume(topic, event_type, self._mail)

    def _mail(self, event: Event) -> None:
        self.call("POST", "smtp.example", "/v1/messages", 0.08)
        self.info("mail sent: %s", event.type)


class AnalyticsService(Service):
    """Counts finished onboardings."""

    name = "analytics-service"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.consume("users", "OnboardingCompleted", self._count)

    def _count(self, event: Event) -> None:
        self.query("INSERT", "funnel_steps")
        self.info("funnel step %s", event.type)
