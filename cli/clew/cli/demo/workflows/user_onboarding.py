"""User onboarding, a fan-out of three: one event, three services, each with its own reply."""

from __future__ import annotations

from clew.cli.demo.bus import HandlingFailed
from clew.cli.demo.facts import FlowFacts
from clew.cli.demo.service import Service
from clew.cli.demo.world import World
from clew.tracer import Event, correlated

_REPLIES = ("ProfileCreated", "WelcomeEmailSent", "TrialStarted")


class ProfileConflict(HandlingFailed):
    """The profile exists."""

    __module__ = "profile.store"


class MailRefused(HandlingFailed):
    """The mail server does not take the mail."""

    __module__ = "email.smtp"


class BillingUnavailable(HandlingFailed):
    """The billing provider is down."""

    __module__ = "billing.provider"


class UserService(Service):
    """Registers users and sees their onboarding through."""

    name = "user-service"
    depends_on = "users-db"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._done: dict[str, set[str]] = {}
        for reply in _REPLIES:
            self.consume("onboarding", reply, self._tick_off)

    def register(self, flow: FlowFacts) -> None:
        """Serve ``POST /users``."""
        anchor = self.world.begin(flow)
        user_id = flow.keys["user_id"]
        with correlated(anchor.correlation_id), self.serving("POST", "/users", status=201):
            self.info("user registered", user_id=user_id)
            self.query("INSERT", "users")
            self.publish("users", "UserRegistered", user_id, {"user_id": user_id, "plan": "team"})

    def _tick_off(self, event: Event) -> None:
        user_id = event.data["user_id"]
        done = self._done.setdefault(user_id, set())
        done.add(event.type)
        self.query("UPDATE", "onboardings")
        if len(done) == len(_REPLIES):
            del self._done[user_id]
            self.end_flow()
            self.publish("users", "OnboardingCompleted", user_id, {"user_id": user_id})


class _Reacting(Service):
    replies: str
    table: str

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.consume("users", "UserRegistered", self._react)

    def _react(self, event: Event) -> None:
        user_id = event.data["user_id"]
        self._serve()
        self.query("INSERT", self.table)
        self.publish("onboarding", self.replies, user_id, {"user_id": user_id})

    def _serve(self) -> None:
        """Do what is this service's own."""
        self.work(0.01)


class ProfileService(_Reacting):
    """Makes the public profile."""

    name = "profile-service"
    replies = "ProfileCreated"
    table = "profiles"
    depends_on = "profiles-db"
    failure = ProfileConflict
    failure_text = "handle is taken"
    parks = "handle is on the reserved list: left to support"


class EmailService(_Reacting):
    """Sends the welcome mail."""

    name = "email-service"
    replies = "WelcomeEmailSent"
    table = "sent_mails"
    depends_on = "smtp.example"
    failure = MailRefused
    failure_text = "550 mailbox unavailable"
    dead_letters = True
    parks = "address is on the suppression list: not sent"

    def _serve(self) -> None:
        self.call("POST", "smtp.example", "/v1/messages", 0.4)


class BillingService(_Reacting):
    """Starts the trial."""

    name = "billing-service"
    replies = "TrialStarted"
    table = "subscriptions"
    depends_on = "billing.example"
    failure = BillingUnavailable
    failure_text = "503 from billing.example"
    parks = "tax number is missing: trial not started"

    def _serve(self) -> None:
        self.call("POST", "billing.example", "/subscriptions", 0.6)
