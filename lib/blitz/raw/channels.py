"""The sales channels: one table of what differs between them, so that every later step is one piece of code.

No other module asks for a channel by name to find out what it can do; docs/architecture.md says how to add one.
"""

from dataclasses import dataclass, replace
from typing import Literal

from pyspark.sql import Column
from pyspark.sql import functions as F

from blitz.raw.specs import APP_ITEMS, APP_ORDERS, INSTORE_ITEMS, INSTORE_ORDERS, TableSpec

KEY_SEPARATOR = "\x1f"
KEY_FORM = "invoice, store, days since 1970"  # of instore_key: refreshes keep such keys


@dataclass(frozen=True)
class Channel:
    """One sales channel.

    Names and roles:
        ``name`` is that of its config section, ``title`` that in reports, ``label`` that in ``channels_ordered_from``,
        where the labels are sorted by ``label_place``. ``defines_users``: the customers of its orders are the own-app
        users, and the other channels keep only their orders. ``has_delivery_time``: its orders count for
        ``ownapp_avg_delivery_time_minutes``.

    Raw tables:
        ``layout``: ``delivery`` (an app's orders with an id) or ``store`` (bills of the stores' tills); it decides the
        published columns. ``orders`` and ``lines`` are the specs of its tables. ``times_are_local``: raw times are
        local wall-clock times rather than UTC instants. ``has_flags``: lines carry ``promo_item``, ``is_customized``
        and ``is_veg``. ``codes_are_text``: item and store codes are text rather than whole numbers.

    Columns:
        ``key_columns`` of the orders, ``line_key_columns`` of the lines, ``mapping_key_columns`` of the customer
        mapping and ``published_key_columns`` of the output identify an order: its id, or invoice, store and time.
        ``time`` and ``amount`` decide between repeated orders; ``store``, ``item``, ``quantity`` and ``price`` are
        columns of orders and lines, ``header`` and ``choice`` of the choice file. ``net_price`` plus the discount is
        the price without taxes; ``missing_prices_are_zero``: null amounts count as 0 in it.

    ``day_starts``: minutes after midnight at which the business day of an in-store key starts; see ``channel_of``.
    """

    name: str
    title: str
    label: str
    label_place: int
    defines_users: bool
    has_delivery_time: bool
    layout: Literal["delivery", "store"]
    orders: TableSpec
    lines: TableSpec
    times_are_local: bool
    has_flags: bool
    codes_are_text: bool
    key_columns: tuple[str, ...]
    line_key_columns: tuple[str, ...]
    mapping_key_columns: tuple[str, ...]
    published_key_columns: tuple[str, ...]
    time: str
    amount: str
    store: str
    item: str
    quantity: str
    price: str
    header: str
    choice: str
    net_price: str
    missing_prices_are_zero: bool
    day_starts: int = 0

    def order_key(self) -> Column:
        """The key of an order among the channel's orders (bigint ``id``, or the text of ``instore_key``)."""
        return self._key(self.key_columns)

    def line_key(self) -> Column:
        """The key of the order that a line belongs to, comparable with ``order_key``."""
        return self._key(self.line_key_columns)

    def published_key(self) -> Column:
        """The key of an order among the channel's published order features, comparable with ``order_key``."""
        return self._key(self.published_key_columns)

    def key_stem(self, key: Column) -> Column:
        """A key without its date: the complete key of a row whose time cannot be read. An id is its own stem."""
        return key if len(self.key_columns) == 1 else F.substring_index(key, KEY_SEPARATOR, 2)

    def _key(self, columns: tuple[str, ...]) -> Column:
        if len(columns) == 1:
            return F.col(columns[0])
        invoice, store, time = map(F.col, columns)
        return instore_key(invoice, store, business_time(time, self.day_starts))


def business_time(local_time: Column, day_starts: int) -> Column:
    """A local time moved so that its date is the business day that it belongs to; ``day_starts`` in minutes."""
    return local_time - F.expr(f"INTERVAL '{day_starts}' MINUTE") if day_starts else local_time


def instore_key(invoice: Column, store: Column, local_time: Column) -> Column:
    """Invoice, store and local date as one text. The invoice comes first: sorts compare the first bytes, and those of
    the store are the same in many rows. The date is its number of days since 1970, which Sail makes text of in a
    seventh of the time of a date.

    Never null: a missing part is left out, and the result is the key of no order. Spark checks every key before a join
    for null, and would compute a nullable one a second time for that (benchmarks/RESULTS.md).
    """
    return F.concat_ws(KEY_SEPARATOR, invoice, store, F.unix_date(F.to_date(local_time)).cast("string"))


def _app(
    name: str, title: str, label: str, label_place: int, *, defines_users: bool = False, has_delivery_time: bool = False
) -> Channel:
    return Channel(
        name=name,
        title=title,
        label=label,
        label_place=label_place,
        defines_users=defines_users,
        has_delivery_time=has_delivery_time,
        layout="delivery",
        orders=APP_ORDERS,
        lines=APP_ITEMS,
        times_are_local=False,
        has_flags=True,
        codes_are_text=False,
        key_columns=("id",),
        line_key_columns=("sales_id",),
        mapping_key_columns=("invoice_no",),
        published_key_columns=("order_id",),
        time="order_placed_datetime",
        amount="total_price",
        store="store_id_id",
        item="item_id_id",
        quantity="quantity",
        price="original_price",
        header="header_item_id_id",
        choice="choice_item_id_id",
        net_price="sub_total_price",
        missing_prices_are_zero=False,
    )


_INSTORE = Channel(
    name="instore",
    title="In store",
    label="Dine in",
    label_place=2,
    defines_users=False,
    has_delivery_time=False,
    layout="store",
    orders=INSTORE_ORDERS,
    lines=INSTORE_ITEMS,
    times_are_local=True,
    has_flags=False,
    codes_are_text=True,
    key_columns=("InvoiceNo", "StoreCode", "BussTime"),
    line_key_columns=("InvoiceNo", "StoreCode", "OrderDatetime"),
    mapping_key_columns=("invoice_no", "store_code", "invoice_date"),
    published_key_columns=("order_id", "StoreCode", "BussTime"),
    time="BussTime",
    amount="GrossAmount",
    store="StoreCode",
    item="ProductCode",
    quantity="Qty",
    price="PriceNet",
    header="HeaderItemId",
    choice="ChoiceItemId",
    net_price="BaseAmount",
    missing_prices_are_zero=True,
)

CHANNELS = {
    channel.name: channel
    for channel in (
        _app("ownapp", "Own app", "OC", 1, defines_users=True, has_delivery_time=True),
        _app("swiggy", "Swiggy", "Swiggy", 3),
        _INSTORE,
    )
}
(USER_CHANNEL,) = [channel for channel in CHANNELS.values() if channel.defines_users]


def channel_of(name: str, day_starts: int) -> Channel:
    """The channel, its in-store business days starting so many minutes after midnight."""
    channel = CHANNELS[name]
    return replace(channel, day_starts=day_starts) if channel.times_are_local else channel
