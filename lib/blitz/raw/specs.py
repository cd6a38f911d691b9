"""The raw tables: which columns the pipeline reads from each, and of what kind (contract: inputs)."""

from dataclasses import dataclass
from enum import Enum

REASON = "reject_reason"  # the column that says why a raw row is rejected; null for a good row


class Kind(Enum):
    """What a raw column holds; decides how each physical type that files use for it is read."""

    ID = "id"  # whole number: integers, 7040.0, text of either
    CODE = "code"  # text of a code; a numeric code loses its trailing .0
    TEXT = "text"  # text, trimmed; empty is null
    NUMBER = "number"  # double; NaN is null
    FLAG = "flag"  # boolean: booleans, 0/1, text of either
    INSTANT = "instant"  # UTC timestamp; a time without a zone is UTC
    LOCAL = "local"  # timestamp in local wall-clock time; a time with a zone is converted to it
    AS_IS = "as_is"  # carried through: only blanks trimmed, NaN to null, timestamps to UTC


@dataclass(frozen=True)
class Field:
    """One column of a raw table. A row whose ``required`` value is null is a bad record."""

    name: str
    kind: Kind
    required: bool = False


@dataclass(frozen=True)
class TableSpec:
    """The columns that are read from one raw table; ``time`` names the column that decides ``bad_timestamp``."""

    name: str
    fields: tuple[Field, ...]
    time: str | None = None


def _fields(kind: Kind, *names: str, required: bool = False) -> tuple[Field, ...]:
    return tuple(Field(name, kind, required) for name in names)


APP_ORDERS = TableSpec(
    "orders",
    (
        *_fields(Kind.ID, "id", required=True),
        *_fields(Kind.INSTANT, "order_placed_datetime", "order_delivery_datetime", "schedule_datetime"),
        *_fields(Kind.ID, "store_id_id"),
        *_fields(Kind.NUMBER, "discounted_price", "gross_price", "total_price", "actual_subtotal", "sub_total_price"),
        *_fields(Kind.TEXT, "store_name"),
        *_fields(
            Kind.AS_IS,
            "user_id",
            "business_model_id_id",
            "before_payment_delivery_eta",
            "before_payment_pickup_eta",
            "applied_coupon",
            "offer_applied",
            "tip",
            "is_distance_fee_applicable",
            "status_id",
            "platform",
            "channel",
            "payment_method",
        ),
    ),
    time="order_placed_datetime",
)
APP_ITEMS = TableSpec(
    "lines",
    (
        *_fields(Kind.ID, "sales_id", required=True),
        *_fields(Kind.ID, "item_id_id"),
        *_fields(Kind.NUMBER, "quantity", "original_price"),
        *_fields(Kind.FLAG, "promo_item", "is_customized", "is_veg"),
    ),
)
ORDER_QUERIES = TableSpec("order queries", _fields(Kind.ID, "order_id"))
INSTORE_ORDERS = TableSpec(
    "orders",
    (
        *_fields(Kind.CODE, "InvoiceNo", "StoreCode", required=True),
        *_fields(Kind.LOCAL, "BussTime"),
        *_fields(Kind.NUMBER, "GrossAmount", "Discount", "BaseAmount"),
        *_fields(Kind.AS_IS, "TransType", "SaleType"),
    ),
    time="BussTime",
)
INSTORE_ITEMS = TableSpec(
    "lines",
    (
        *_fields(Kind.CODE, "InvoiceNo", "StoreCode", required=True),
        *_fields(Kind.LOCAL, "OrderDatetime", required=True),
        *_fields(Kind.CODE, "ProductCode"),
        *_fields(Kind.NUMBER, "Qty", "PriceNet"),
    ),
)
CUSTOMER_MAPPING = TableSpec(
    "customer mapping",
    (
        *_fields(Kind.CODE, "customer_code_ty", "invoice_no", "store_code"),
        *_fields(Kind.LOCAL, "invoice_date"),
    ),
)
STORE_CODES = TableSpec("store codes", (*_fields(Kind.ID, "MDS ID"), *_fields(Kind.CODE, "DSR Code")))
STORES = TableSpec(
    "stores",
    (
        *_fields(Kind.CODE, "Store Code"),
        *_fields(Kind.TEXT, "Store Type", "Generator New", "Geographical City", "Key City"),
    ),
)
CATEGORIES = TableSpec(
    "categories",
    (
        *_fields(Kind.ID, "item_id_id"),
        *_fields(Kind.CODE, "ProductCode"),
        *_fields(Kind.TEXT, "Final Dri Category", "Clubbed base product category"),
    ),
)
CHOICES = TableSpec(
    "choices",
    (
        *_fields(Kind.ID, "header_item_id_id", "choice_item_id_id"),
        *_fields(Kind.CODE, "HeaderItemId", "ChoiceItemId"),
        *_fields(Kind.NUMBER, "Qty"),
    ),
)
