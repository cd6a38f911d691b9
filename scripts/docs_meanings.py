"""What the columns mean, for docs_columns.py: (unit, meaning) of raw columns, families of output columns."""

RUPEES = "rupees"
ORDERS = "orders"

# Raw columns whose meaning is the same wherever they stand.
RAW = {
    "id": ("", "the order; repeated rows are one order"),
    "order_placed_datetime": ("", "when it was ordered"),
    "order_delivery_datetime": ("", "when it was delivered; null where it was not"),
    "schedule_datetime": ("", "carried through"),
    "store_id_id": ("", "the store, as `MDS ID` of the store codes"),
    "discounted_price": (RUPEES, "discount"),
    "gross_price": (RUPEES, "carried through"),
    "total_price": (RUPEES, "total; decides between repeated rows of one time"),
    "actual_subtotal": (RUPEES, "carried through"),
    "sub_total_price": (RUPEES, "with the discount it makes the price without taxes"),
    "store_name": ("", "trimmed"),
    **dict.fromkeys(
        (
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
            "TransType",
            "SaleType",
        ),
        ("", "carried through"),
    ),
    "sales_id": ("", "`id` of the order"),
    "item_id_id": ("", "the item's code in the app"),
    "quantity": ("pieces", "null counts as 0"),
    "original_price": (RUPEES, "decides the price bucket"),
    "promo_item": ("", "a promotion; null is no"),
    "is_customized": ("", "customized"),
    "is_veg": ("", "vegetarian"),
    "order_id": ("", "`id` of an order with a query"),
    "InvoiceNo": ("", "invoice; repeats across stores and days"),
    "StoreCode": ("", "store"),
    "BussTime": ("", "when it was ordered"),
    "OrderDatetime": ("", "its local date is part of the order's key"),
    "GrossAmount": (RUPEES, "total; decides between repeated rows of one time"),
    "Discount": (RUPEES, "discount; null counts as 0"),
    "BaseAmount": (RUPEES, "with the discount it makes the price without taxes; null counts as 0"),
    "ProductCode": ("", "the item's code in the stores"),
    "Qty": ("pieces", "null counts as 0"),
    "PriceNet": (RUPEES, "decides the price bucket"),
    "customer_code_ty": ("", "the customer, `algonomy_id`; leading zeros count"),
    "invoice_no": ("", "order id, or in-store invoice number"),
    "store_code": ("", "in-store: store of the invoice"),
    "invoice_date": ("", "in-store: local date of the invoice"),
    "MDS ID": ("", "the store's number in the app"),
    "DSR Code": ("", "its `Store Code`"),
    "Store Code": ("", "store"),
    "Store Type": ("", "to `store_type`"),
    "Generator New": ("", "to `store_generator_new`"),
    "Geographical City": ("", "to `store_geographical_city`"),
    "Key City": ("", "to `store_key_city`"),
    "Final Dri Category": ("", "driver category; lines of items without one are `unmapped`"),
    "Clubbed base product category": ("", "base category; `Exclude` drops the line"),
    "header_item_id_id": ("", "app: an item that is sold with choices"),
    "choice_item_id_id": ("", "app: one of its choices"),
    "HeaderItemId": ("", "stores: an item that is sold with choices"),
    "ChoiceItemId": ("", "stores: one of its choices"),
}

# The raw tables, by their name in blitz.tables, with what differs from RAW.
INPUTS: dict[str, dict[str, tuple[str, str]]] = {
    "APP_ORDERS": {},
    "APP_ITEMS": {},
    "ORDER_QUERIES": {},
    "INSTORE_ORDERS": {},
    "INSTORE_ITEMS": {},
    "CUSTOMER_MAPPING": {},
    "STORE_CODES": {},
    "STORES": {},
    "CATEGORIES": {},
    "CHOICES": {"Qty": ("pieces", "the choice is part of the header up to this quantity in an order")},
}

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
