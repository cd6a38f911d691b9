"""The three channels: where their raw tables and columns differ, so that everything behind can be one piece of code."""

from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F

from blitz.raw.specs import APP_ITEMS, APP_ORDERS, INSTORE_ITEMS, INSTORE_ORDERS, TableSpec

KEY_SEPARATOR = "\x1f"


@dataclass(frozen=True)
class Channel:
    """One sales channel.

    ``label`` is its name in ``channels_ordered_from``; ``amount`` the price that decides between repeated orders;
    ``item`` and the two choice columns name its item codes in the lines, the category file and the choice file.
    """

    name: str
    label: str
    orders: TableSpec
    lines: TableSpec
    time: str
    amount: str
    item: str
    quantity: str
    price: str
    header: str
    choice: str
    store: str
    has_flags: bool

    @property
    def is_local(self) -> bool:
        """Whether the raw times are local wall-clock times (in-store) rather than UTC instants."""
        return self.name == "instore"

    def order_key(self) -> Column:
        """The key of an order among the channel's orders (bigint ``id``, or invoice, store and local date as text)."""
        return self._key("BussTime") if self.is_local else F.col("id")

    def line_key(self) -> Column:
        """The key of the order that a line belongs to, comparable with ``order_key``."""
        return self._key("OrderDatetime") if self.is_local else F.col("sales_id")

    def _key(self, time: str) -> Column:
        return instore_key(F.col("InvoiceNo"), F.col("StoreCode"), F.col(time))


def instore_key(invoice: Column, store: Column, local_time: Column) -> Column:
    """Invoice, store and local date as one text. The invoice stands first: sorts compare the first bytes, and those of
    the store are the same in many rows.

    Never null: a part that is missing is left out, which makes it no order's key. Spark asks of every key before a join
    whether it is null, and would work out one that may be a second time for that (benchmarks/RESULTS.md).
    """
    return F.concat_ws(KEY_SEPARATOR, invoice, store, F.to_date(local_time).cast("string"))


def _app_channel(name: str, label: str) -> Channel:
    return Channel(
        name=name,
        label=label,
        orders=APP_ORDERS,
        lines=APP_ITEMS,
        time="order_placed_datetime",
        amount="total_price",
        item="item_id_id",
        quantity="quantity",
        price="original_price",
        header="header_item_id_id",
        choice="choice_item_id_id",
        store="store_id_id",
        has_flags=True,
    )


CHANNELS = {
    "ownapp": _app_channel("ownapp", "OC"),
    "swiggy": _app_channel("swiggy", "Swiggy"),
    "instore": Channel(
        name="instore",
        label="Dine in",
        orders=INSTORE_ORDERS,
        lines=INSTORE_ITEMS,
        time="BussTime",
        amount="GrossAmount",
        item="ProductCode",
        quantity="Qty",
        price="PriceNet",
        header="HeaderItemId",
        choice="ChoiceItemId",
        store="StoreCode",
        has_flags=False,
    ),
}
