"""What the columns of the outputs mean: docs/data.md shows it, and tables of a catalog have it as column comments.

A test fails where a column has no meaning, or a meaning no column.
"""

import re
from collections.abc import Callable

RUPEES = "rupees"
ORDERS = "orders"

Family = tuple[str, str, str, str]  # pattern of the column names, how the family is shown, unit, meaning
ONE = "1 where the order has such a line, else 0"

STORE: list[Family] = [
    ("algonomy_id", "", "", "the customer; leading zeros count"),
    (
        "store_(type|generator_new|geographical_city|key_city)",
        "store_…",
        "",
        "of the order's store; null where unknown",
    ),
]
FEATURES: list[Family] = [
    (r".+_items_count", "{label}_items_count", "0/1", "a kept line in the price bucket: " + ONE),
    (r"dri_categ_.+", "dri_categ_{slug}", "0/1", "a kept line of the driver category: " + ONE),
    (r"categ_base_product_.+", "categ_base_product_{slug}", "0/1", "a kept line of the base category: " + ONE),
    (r"unique_dri_categories_in_order", "", "", "driver categories of the kept lines, sorted"),
    (r"unique_base_products_in_order", "", "", "base categories of the kept lines, sorted"),
    (r"item_count", "", "pieces", "over all lines, promotions and choices too; 0 where there are none"),
]
APP_FEATURES: list[Family] = [
    ("customization_flag", "", "0/1", "any line was customized; null without lines"),
    ("veg_indicator", "", "0/1", "all lines are vegetarian; null without lines"),
    ("veg_count", "", "lines", "vegetarian lines"),
    ("promo_items", "", "pieces", "of promotion lines"),
]
TIMES: list[Family] = [
    (
        "order_time_of_day",
        "",
        "",
        "by local hour: 6–10 `Breakfast`, 11–14 `Lunch`, 15–18 `Evening`, 19–23 `Dinner`, 0–5 `Late Night`",
    ),
    ("is_weekend", "", "0/1", "local Saturday or Sunday"),
]
APP: list[Family] = [
    ("order_id", "", "", "`id`"),
    ("user_id", "", "", "as in the file"),
    ("device_type_platform", "", "", "`platform`"),
    ("order_placed_datetime", "", "UTC", "when it was ordered"),
    ("order_channel", "", "", "`channel`"),
    ("store_name", "", "", "trimmed"),
    ("store_mds_id", "", "", "`store_id_id`"),
    ("actual_delivery_time", "", "UTC", "`order_delivery_datetime`"),
    ("payment_method", "", "", "as in the file"),
    ("pre_discount_order_value", "", RUPEES, "`gross_price`"),
    ("promo_code_applied", "", "", "`applied_coupon`"),
    (
        "discounted_price|total_price|gross_price|actual_subtotal|sub_total_price",
        "total_price, …",
        RUPEES,
        "as in the file",
    ),
    ("schedule_datetime|order_delivery_datetime", "schedule_datetime, …", "UTC", "as in the file"),
    (
        "status_id|applied_coupon|platform|tip|before_payment_.+_eta|is_distance_fee_applicable|offer_applied|"
        "business_model_id_id",
        "status_id, …",
        "",
        "carried through; the type is the file's",
    ),
    *STORE,
    ("has_query", "", "", "the order is among the order queries; false where the channel has none"),
    *FEATURES,
    *APP_FEATURES,
    *TIMES,
]
LOADED = "as in the customer features: not capped, not renamed"

FAMILIES: dict[str, list[Family]] = {
    "ownapp": APP,
    "swiggy": APP,
    "instore": [
        ("order_id", "", "", "`InvoiceNo`: not a key by itself, see `StoreCode` and `BussTime`"),
        ("order_placed_datetime", "", "UTC", "when it was ordered"),
        ("BussTime", "", "local", "the same as wall-clock time"),
        ("StoreCode", "", "", "store"),
        ("total_price", "", RUPEES, "`GrossAmount`"),
        ("discounted_price", "", RUPEES, "`Discount`"),
        ("BaseAmount", "", RUPEES, "as in the file"),
        ("TransType|SaleType", "TransType, SaleType", "", "as in the file"),
        *STORE,
        *FEATURES,
        *TIMES,
    ],
    "customers": [
        ("algonomy_id", "", "", "the customer; one row each"),
        ("omnichannel_avg_discount_pct", "", "fraction", "mean of discount / price without taxes; a negative mean is 0"),
        ("unique_base_products_in_order", "", "", "base categories of all orders, sorted"),
        ("unique_category_base_products_count", "", "categories", "how many"),
        ("unique_dri_categories_in_order", "", "", "driver categories of all orders, sorted"),
        ("unique_dri_category_count", "", "categories", "how many"),
        ("[a-z]+_order_count", "{channel}_order_count", ORDERS, "all, and per channel; 0 where none"),
        ("omnichannel_week(end|day)_order_count", "omnichannel_week…_order_count", ORDERS, "on local Saturdays and Sundays; on other days"),
        ("omnichannel_aov", "", RUPEES, "mean `total_price`"),
        ("omnichannel_avg_discount", "", RUPEES, "mean `discounted_price`"),
        ("channels_ordered_from", "", "", "`OC`, `Dine in`, `Swiggy`, joined by ` + `; `OC only`"),
        ("(omnichannel|ownapp)_(first|last)_order_at", "{scope}_first_order_at, …_last_…", "local", "first and last order"),
        ("(omnichannel|ownapp)_recency", "{scope}_recency", "days", "whole days from the last order to the run date"),
        ("(omnichannel|ownapp)_tenure_days", "{scope}_tenure_days", "days", "whole days from the first to the last order, + 1"),
        (
            "(omnichannel|ownapp)_avg_days_between_orders",
            "{scope}_avg_days_between_orders",
            "days",
            "tenure / (orders − 1); null for a single order",
        ),
        (
            "(omnichannel|ownapp)_(Breakfast|Lunch|Evening|Dinner|Late Night)_order_count",
            "{scope}_{daypart}_order_count",
            ORDERS,
            "in the part of the day",
        ),
        (
            "(omnichannel|ownapp)(_(Breakfast|Lunch|Evening|Dinner|Late Night)){2,5}_order_count",
            "{scope}_{A}_{B}…_order_count",
            ORDERS,
            "in any of two to five parts of the day",
        ),
        (
            "(omnichannel|ownapp)_order_count_with_.+_price_range_items",
            "{scope}_order_count_with_{label}_price_range_items",
            ORDERS,
            "with a line in the price bucket",
        ),
        ("(omnichannel|ownapp)_categ_base_product_.+_count", "{scope}_categ_base_product_{slug}_count", ORDERS, "with the base category"),
        ("(omnichannel|ownapp)_dri_categ_.+_count", "{scope}_dri_categ_{slug}_count", ORDERS, "with the driver category"),
        ("ownapp_avg_delivery_time_minutes", "", "minutes", "mean from placed to delivered; null where never delivered"),
        ("channel_count", "", "channels", "with at least one order, 1 to 3"),
    ],
    "scores": [
        ("algonomy_id", "", "", "the customer; one row each"),
        ("total_spend", "", RUPEES, "sum of `total_price` of all channels since `cutoff_date`; nulls left out, 0 where there is none"),
        ("spend_orders", "", ORDERS, "how many of these orders had a `total_price`"),
        ("missed_visits", "", "visits", "`omnichannel_recency` / `omnichannel_avg_days_between_orders`; null for a single order"),
        ("lifecycle", "", "", "`new`, `one_time`, `active`, `due`, `late`, `lapsed`: the first that applies"),
        ("[rfm]_score", "r_score, f_score, m_score", "1 to 5", "recency, order count and spend, by four cut points each; 5 is best"),
        ("rfm", "", "", "the three digits"),
        ("rfm_segment", "", "", "their name by the RFM rules"),
        ("clv_frequency", "", "days", "local days with an order in the order window, without the first"),
        ("clv_recency_days", "", "days", "from the first to the last of these days"),
        ("clv_t_days", "", "days", "from the first of these days to the day before the run date"),
        ("clv_monetary_value", "", RUPEES, "mean spend of these days without the first; 0 where there is no other"),
    ],
    "segments": [
        ("algonomy_id", "", "", "the customer; one row each"),
        ("Segment", "", "", "the rule segment; null if nulls keep every rule of the band from matching"),
    ],
    "microsegments": [
        ("algonomy_id", "", "", "the customer; one row each per plan item"),
        ("microcluster", "", "", "cluster number of the plan item's model, as text"),
        ("Segment", "", "", "the plan item's name"),
        ("ownapp_order_count|channel_count|unique_.+_count", "ownapp_order_count, …", "", "`cols_to_keep`, " + LOADED),
        ("omnichannel_.+", "omnichannel_…", ORDERS, "`convert_to_flag`, counts, " + LOADED),
    ],
}  # fmt: skip


def comment_of(step: str) -> Callable[[str], str | None]:
    """The comment of a column of a step's output by its name: unit and meaning, as text without markup."""
    families = [(re.compile(pattern), unit, meaning) for pattern, _, unit, meaning in FAMILIES.get(step, ())]

    def comment(column: str) -> str | None:
        found = next(((unit, meaning) for pattern, unit, meaning in families if pattern.fullmatch(column)), None)
        if found is None:
            return None
        unit, meaning = found
        return (f"{unit}: {meaning}" if unit else meaning).replace("`", "")

    return comment
