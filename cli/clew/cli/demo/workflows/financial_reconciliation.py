"""Financial reconciliation, a hybrid: a light orchestrator commands, others react to its events."""

from __future__ import annotations

from opentelemetry.trace import SpanKind

from clew.cli.demo.bus import HandlingFailed
from clew.cli.demo.facts import FlowFacts
from clew.cli.demo.service import Service
from clew.cli.demo.world import World
from clew.tracer import Event, continuing, correlated, inject

ACCOUNT_CLOSED = "closed"


class BankUnreachable(HandlingFailed):
    """The bank does not answer."""

    __module__ = "bank_gateway.ebics"


class StatementInvalid(HandlingFailed):
    """The statement does not add up."""

    __module__ = "reconciliation.statement"


class LedgerService(Service):
    """Keeps the books; called by HTTP."""

    name = "ledger-service"

    def snapshot(self, headers: dict[str, str], run_id: str) -> None:
        """Serve ``POST /snapshots``."""
        attributes: dict[str, str | int] = {
            "http.request.method": "POST",
            "http.route": "/snapshots",
            "http.response.status_code": 201,
        }
        with continuing(headers), self.span("POST /snapshots", SpanKind.SERVER, attributes):
            self.query("SELECT", "postings", 0.12)
            self.publish("ledger", "LedgerSnapshotTaken", run_id, {"run_id": run_id, "postings": 214})


class ReconciliationService(Service):
    """The orchestrator: asks the ledger and the bank, compares, closes the run."""

    name = "reconciliation-service"
    depends_on = "runs-db"
    failure = StatementInvalid
    failure_text = "closing balance differs from the sum of entries"
    parks = "statement is of another period: put aside"

    def __init__(self, world: World, ledger: LedgerService) -> None:
        super().__init__(world)
        self._ledger = ledger
        self._have: dict[str, set[str]] = {}
        self.consume("ledger", "LedgerSnapshotTaken", self._compare)
        self.consume("bank", "StatementReceived", self._compare)
        self.consume("bank", "StatementUnavailable", self._fail)
        self.consume("reconciliation", "AdjustmentPosted", self._complete)

    def start(self, flow: FlowFacts) -> None:
        """Begin a run; the scheduler calls."""
        world = self.world
        anchor = world.begin(flow)
        run_id, account_id = flow.keys["run_id"], flow.keys["account_id"]
        account = ACCOUNT_CLOSED if flow.scenario == "rejected" else "open"
        attributes = {"code.function.name": "reconciliation.schedule.start_run"}
        with (
            correlated(anchor.correlation_id),
            self.span("schedule reconcile", SpanKind.INTERNAL, attributes, root=True),
        ):
            self.info("run starts", account_id=account_id, run_id=run_id)
            data = {"run_id": run_id, "account_id": account_id}
            self.publish("reconciliation", "ReconciliationStarted", run_id, data)
            self._ask_ledger(run_id)
            command = {"run_id": run_id, "account": account, "differs": world.chance.random() < 0.25}  # noqa: PLR2004 - one run in four
            self.publish("bank-commands", "StatementRequested", run_id, command)

    def _ask_ledger(self, run_id: str) -> None:
        attributes: dict[str, str | int] = {
            "http.request.method": "POST",
            "server.address": "ledger-service",
            "url.full": "http://ledger-service/snapshots",
            "http.response.status_code": 201,
        }
        with self.span("POST", SpanKind.CLIENT, attributes):
            headers: dict[str, str] = inject({})
            self.work(0.002)
            self._ledger.snapshot(headers, run_id)
            self.work(0.002)

    def _compare(self, event: Event) -> None:
        run_id = event.data["run_id"]
        have = self._have.setdefault(run_id, set())
        have.add(event.type)
        self.query("SELECT", "runs")
        if event.type == "StatementReceived" and event.data["differs"]:
            have.add("difference")
        if not {"LedgerSnapshotTaken", "StatementReceived"} <= have:
            self.info("waiting for the other side", run_id=run_id)
            return
        del self._have[run_id]
        if "difference" in have:
            self.publish("reconciliation", "DiscrepancyFound", run_id, {"run_id": run_id})
        else:
            self._complete(event)

    def _complete(self, event: Event) -> None:
        run_id = event.data["run_id"]
        self.query("UPDATE", "runs")
        self.end_flow()
        self.publish("reconciliation", "ReconciliationCompleted", run_id, {"run_id": run_id})

    def _fail(self, event: Event) -> None:
        run_id = event.data["run_id"]
        self.query("UPDATE", "runs")
        self.end_flow()
        self.publish("reconciliation", "ReconciliationFailed", run_id, {"run_id": run_id})


class BankGateway(Service):
    """Fetches statements from the bank."""

    name = "bank-gateway"
    depends_on = "bank.example"
    failure = BankUnreachable
    failure_text = "TLS handshake with bank.example timed out"
    dead_letters = True
    parks = "outside of the bank's hours: put off"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.consume("bank-commands", "StatementRequested", self._fetch)

    def _fetch(self, event: Event) -> None:
        run_id = event.data["run_id"]
        self.call("POST", "bank.example", "/statements", 14.0)
        if event.data["account"] == ACCOUNT_CLOSED:
            self.warn("the account is closed", run_id=run_id)
            self.publish("bank", "StatementUnavailable", run_id, {"run_id": run_id})
        else:
            data = {"run_id": run_id, "differs": event.data["differs"]}
            self.publish("bank", "StatementReceived", run_id, data)


class AdjustmentService(Service):
    """Posts what makes up for a difference."""

    name = "adjustment-service"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.consume("reconciliation", "DiscrepancyFound", self._post)

    def _post(self, event: Event) -> None:
        run_id = event.data["run_id"]
        self.query("INSERT", "adjustments", 0.03)
        self.publish("reconciliation", "AdjustmentPosted", run_id, {"run_id": run_id})


class ReportingService(Service):
    """Keeps the list of runs."""

    name = "reporting-service"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        for event_type in ("ReconciliationStarted", "ReconciliationCompleted", "ReconciliationFailed"):
            self.consume("reconciliation", event_type, self._note)

    def _note(self, event: Event) -> None:
        self.query("UPSERT", "reports")
        self.info("listed as %s", event.type)
