"""Order fulfilment, a choreography: each service reacts to the one before it."""

from __future__ import annotations

from clew.cli.demo.bus import HandlingFailed
from clew.cli.demo.facts import FlowFacts
from clew.cli.demo.service import Service
from clew.cli.demo.world import World
from clew.tracer import Event, correlated

# What the input decides, as a real system's would.
DECLINED_CARD = "card-declined"
SOLD_OUT = "sku-sold-out"
BANK_TRANSFER = "bank-transfer"


class PaymentTimeout(HandlingFailed):
    """The payment provider does not answer."""

    __module__ = "payment.gateway"


class StockUnavailable(HandlingFailed):
    """The stock database does not answer."""

    __module__ = "inventory.stock"


class CarrierRefused(HandlingFailed):
    """The carrier does not take the parcel."""

    __module__ = "shipping.carrier"


class OrderConflict(HandlingFailed):
    """The order was changed meanwhile."""

    __module__ = "order.store"


class OrderService(Service):
    """Takes orders and says when they are done."""

    name = "order-service"
    depends_on = "orders-db"
    failure = OrderConflict
    failure_text = "row version 3 expected, found 4"
    parks = "order is flagged by the fraud check: held for manual review"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.consume("shipments", "ShipmentDispatched", self._complete)
        self.consume("payments", "PaymentFailed", self._reject)
        self.consume("payments", "PaymentRefunded", self._refund)

    def place(self, flow: FlowFacts) -> None:
        """Serve ``POST /orders``."""
        anchor = self.world.begin(flow)
        order_id = flow.keys["order_id"]
        method = BANK_TRANSFER if flow.scenario == "cancelled" else "card-4242"
        data = {
            "order_id": order_id,
            "customer_id": flow.keys["customer_id"],
            "payment_method": DECLINED_CARD if flow.scenario == "rejected" else method,
            "sku": SOLD_OUT if flow.scenario == "compensated" else "sku-1881",
            "total_cents": self.world.chance.randrange(990, 24_900),
        }
        with correlated(anchor.correlation_id), self.serving("POST", "/orders"):
            self.info("order received", order_id=order_id, customer_id=data["customer_id"])
            self.query("INSERT", "orders")
            self.publish("orders", "OrderPlaced", order_id, data)
        if flow.scenario == "cancelled":
            later_ns = self.world.clock.now_ns + self.world.wait_ns(45.0)
            self.world.later(later_ns, lambda: self._cancel(order_id, anchor.correlation_id), anchor)

    def _cancel(self, order_id: str, correlation_id: str | None) -> None:
        with correlated(correlation_id), self.serving("DELETE", "/orders/{order_id}"):
            self.info("customer cancels the order", order_id=order_id)
            self.query("UPDATE", "orders")
            self.end_flow()
            self.publish("orders", "OrderCancelled", order_id, {"order_id": order_id})

    def _complete(self, event: Event) -> None:
        self._close(event, "OrderCompleted")

    def _reject(self, event: Event) -> None:
        self._close(event, "OrderRejected")

    def _refund(self, event: Event) -> None:
        self._close(event, "OrderRefunded")

    def _close(self, event: Event, outcome: str) -> None:
        order_id = event.data["order_id"]
        self.query("UPDATE", "orders")
        self.end_flow()
        self.publish("orders", outcome, order_id, {"order_id": order_id})


class PaymentService(Service):
    """Charges and refunds."""

    name = "payment-service"
    depends_on = "psp.example"
    failure = PaymentTimeout
    failure_text = "POST https://psp.example/charges: no answer within 2 s"
    dead_letters = True
    parks = "charge needs a second look: queued for manual review"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.consume("orders", "OrderPlaced", self._charge)
        self.consume("inventory", "InventoryRejected", self._refund)
        self.consume("orders", "OrderCancelled", self._void)

    def _charge(self, event: Event) -> None:
        order_id = event.data["order_id"]
        if event.data["payment_method"] == BANK_TRANSFER:
            self.info("waiting for the bank transfer of order %s", order_id, order_id=order_id)
            return
        self.call("POST", "psp.example", "/charges", 0.22)
        data = {"order_id": order_id, "payment_id": self.world.short_id("pay"), "sku": event.data["sku"]}
        if event.data["payment_method"] == DECLINED_CARD:
            self.warn("card declined: insufficient funds", order_id=order_id)
            self.publish("payments", "PaymentFailed", order_id, data)
        else:
            self.info("charged %d cents", event.data["total_cents"], payment_id=data["payment_id"])
            self.publish("payments", "PaymentSucceeded", order_id, data)

    def _refund(self, event: Event) -> None:
        order_id = event.data["order_id"]
        self.call("POST", "psp.example", "/refunds", 0.3)
        self.publish("payments", "PaymentRefunded", order_id, {"order_id": order_id})

    def _void(self, event: Event) -> None:
        self.query("DELETE", "open_transfers")
        self.info("no transfer is expected any more", order_id=event.data["order_id"])


class InventoryService(Service):
    """Keeps the stock."""

    name = "inventory-service"
    depends_on = "stock-db"
    failure = StockUnavailable
    failure_text = "connection to stock-db:5432 refused"
    parks = "stock count differs from the books: left to the warehouse"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.consume("payments", "PaymentSucceeded", self._reserve)

    def _reserve(self, event: Event) -> None:
        order_id, sku = event.data["order_id"], event.data["sku"]
        self.query("UPDATE", "stock", 0.009)
        if sku == SOLD_OUT:
            self.warn("%s is sold out", sku, order_id=order_id)
            self.publish("inventory", "InventoryRejected", order_id, {"order_id": order_id, "sku": sku})
        else:
            self.publish("inventory", "InventoryReserved", order_id, {"order_id": order_id, "sku": sku})


class ShippingService(Service):
    """Has parcels picked and hands them to a carrier."""

    name = "shipping-service"
    depends_on = "carrier.example"
    failure = CarrierRefused
    failure_text = "422: postcode is not served"
    dead_letters = True
    parks = "address could not be verified: put aside"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.consume("inventory", "InventoryReserved", self._pick)

    def _pick(self, event: Event) -> None:
        order_id = event.data["order_id"]
        self.query("INSERT", "pick_lists")
        self.info("pick list printed", order_id=order_id)
        anchor = self.world.anchor
        picked_ns = self.world.clock.now_ns + self.world.wait_ns(25.0)
        self.world.later(picked_ns, lambda: self._picked(order_id, event), anchor)

    def _picked(self, order_id: str, event: Event) -> None:
        with (
            correlated(event.correlation_id, causation_id=event.id),
            self.serving("POST", "/pick-lists/{order_id}/done"),
        ):
            self.info("parcel is packed", order_id=order_id)
            self.call("POST", "carrier.example", "/labels", 0.12)
            shipment = {"order_id": order_id, "shipment_id": self.world.short_id("shp")}
            self.publish("shipments", "ShipmentDispatched", order_id, shipment)
