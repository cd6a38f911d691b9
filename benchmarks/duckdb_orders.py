"""Order features in DuckDB SQL: each raw file scanned once, categories as bit masks, one aggregation per channel."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from duckdb_sources import (
    DEFAULT_BINS,
    DEFAULT_LABELS,
    STORE_COLUMNS,
    Clock,
    Menu,
    carried,
    choices,
    code,
    csv_scan,
    flag,
    instant,
    is_bad_id,
    is_bad_number,
    literal,
    months_before,
    number,
    parquet_scan,
    quoted,
    stores,
    text,
    wall_clock,
    whole,
)

TIMES = ("order_placed_datetime", "order_delivery_datetime", "schedule_datetime")
NUMBERS = ("discounted_price", "gross_price", "total_price", "actual_subtotal", "sub_total_price")
AS_IS = (
    "store_name", "user_id", "business_model_id_id", "before_payment_delivery_eta", "before_payment_pickup_eta",
    "applied_coupon", "offer_applied", "tip", "is_distance_fee_applicable", "status_id", "platform", "channel",
    "payment_method",
)  # fmt: skip
APP_OUTPUT = (
    ("order_id", "id"), ("user_id", "user_id"), ("device_type_platform", "platform"),
    ("order_placed_datetime", "order_placed_datetime::TIMESTAMPTZ"), ("order_channel", "channel"),
    ("store_name", "store_name"), ("store_mds_id", "store_id_id"),
    ("actual_delivery_time", "order_delivery_datetime::TIMESTAMPTZ"), ("payment_method", "payment_method"),
    ("pre_discount_order_value", "gross_price"), ("promo_code_applied", "applied_coupon"),
    *((name, name) for name in (*NUMBERS[:1], "total_price", "gross_price", "actual_subtotal", "sub_total_price")),
    ("schedule_datetime", "schedule_datetime::TIMESTAMPTZ"), ("status_id", "status_id"),
    ("applied_coupon", "applied_coupon"), ("platform", "platform"), ("tip", "tip"),
    ("order_delivery_datetime", "order_delivery_datetime::TIMESTAMPTZ"),
    *((name, name) for name in (
        "before_payment_delivery_eta", "before_payment_pickup_eta", "is_distance_fee_applicable", "offer_applied",
        "business_model_id_id", "algonomy_id", *STORE_COLUMNS)),
)  # fmt: skip
DAYPART = (
    "CASE WHEN hour({0}) < 6 THEN 'Late Night' WHEN hour({0}) < 11 THEN 'Breakfast' WHEN hour({0}) < 15 THEN 'Lunch' "
    "WHEN hour({0}) < 19 THEN 'Evening' ELSE 'Dinner' END"
)


@dataclass(frozen=True)
class Job:
    """What all channels share."""

    con: duckdb.DuckDBPyConnection
    config: dict[str, Any]
    menu: Menu
    clock: Clock
    start: date
    end: date
    out: Path

    @property
    def labels(self) -> list[str]:
        return list(self.config["common"].get("price_config", {}).get("bucket_labels", DEFAULT_LABELS))

    @property
    def bins(self) -> list[float]:
        return list(self.config["common"].get("price_config", {}).get("price_bins", DEFAULT_BINS))

    def window(self, local: str) -> str:
        return f"{local} >= TIMESTAMP '{self.start}' AND {local} < TIMESTAMP '{self.end}'"


def open_job(con: duckdb.DuckDBPyConnection, config: dict[str, Any], out: Path) -> Job:
    common = config["common"]
    end = date.fromisoformat(common["current_run_date"])
    start = months_before(end, common.get("months_offset", 27))
    menu = Menu(common["categories_path"])
    return Job(con, config, menu, Clock(common["timezone"], start, end), start, end, out)


def read_mapping(job: Job) -> None:
    """Tables ``app_customer`` (id) and ``store_customer`` (invoice, store, day): the smallest customer of each key."""
    scan = csv_scan(
        job.config["common"]["mapping_file"], ["customer_code_ty", "invoice_no", "invoice_date", "store_code"]
    )
    job.con.execute(f"""
        CREATE TEMP TABLE mapping AS SELECT {text("customer_code_ty")} AS algonomy_id, {code("invoice_no")} AS invoice,
            {code("store_code")} AS store, ({wall_clock("invoice_date", job.clock)})::DATE AS day
        FROM {scan} WHERE NOT is_long AND {text("customer_code_ty")} IS NOT NULL""")
    job.con.execute(f"""
        CREATE TEMP TABLE app_customer AS SELECT {whole("invoice")} AS id, min(algonomy_id) AS algonomy_id
        FROM mapping WHERE {whole("invoice")} IS NOT NULL GROUP BY 1""")


def app_channel(job: Job, name: str, only_users: bool) -> None:
    """Own app or Swiggy: its Parquet file, and view ``{name}_orders`` and table ``{name}_features``."""
    con, body = job.con, job.config[name]
    scan, kinds = parquet_scan(con, body["orders_data_path"])
    columns = {column: instant(column, kinds[column]) for column in TIMES}
    columns |= {column: number(column, kinds[column]) for column in NUMBERS}
    columns |= {column: carried(column, kinds[column]) for column in AS_IS}
    columns |= {column: whole(column) for column in ("id", "store_id_id")}
    typed = ", ".join(f"{sql} AS {column}" for column, sql in columns.items())
    good = _readable(kinds, list(NUMBERS), ["id", "store_id_id"])
    users = "SEMI JOIN users USING (algonomy_id)" if only_users else ""
    con.execute(f"""
        CREATE TEMP TABLE {name}_read AS SELECT t.*, {job.clock.local("t.order_placed_datetime")} AS local,
            algonomy_id
        FROM (SELECT {typed} FROM {scan} WHERE {good}) t JOIN app_customer USING (id) {users}
        WHERE {job.window(job.clock.local("t.order_placed_datetime"))}""")
    _without_repeated(job, name, ["id"], "order_placed_datetime", "total_price", list(columns))
    scan, kinds = parquet_scan(con, body["order_items_data_path"])
    con.execute(f"""
        CREATE TEMP TABLE lines AS SELECT o.row_no, l.* EXCLUDE (id) FROM (
            SELECT {whole("sales_id")} AS id, {whole("item_id_id")} AS item,
                coalesce({number("quantity", kinds["quantity"])}, 0) AS quantity,
                coalesce({flag("promo_item", kinds["promo_item"])}, 0)::BOOLEAN AS promo,
                {flag("is_customized", kinds["is_customized"])} AS customized, {flag("is_veg", kinds["is_veg"])} AS veg,
                {_price_bits(number("original_price", kinds["original_price"]), job.bins)} AS price_bits
            FROM {scan} WHERE {_readable(kinds, ["quantity", "original_price"], ["sales_id", "item_id_id"])}) l
        JOIN {name}_orders o ON o.id = l.id""")
    _features(job, name, "BIGINT", ("item_id_id", "header_item_id_id", "choice_item_id_id"))
    query = "false"
    if body["has_query"] and body["orderqueries_path"]:
        queries, _ = parquet_scan(con, body["orderqueries_path"])
        query = f"o.id IN (SELECT order_id FROM {queries} WHERE order_id IS NOT NULL)"
    flags = (
        "customized AS customization_flag, veg_low AS veg_indicator, coalesce(veg_sum, 0)::BIGINT AS veg_count, "
        "coalesce(f.promo_items, 0) AS promo_items"
    )
    selected = [*(f"{sql} AS {column}" for column, sql in APP_OUTPUT), f"{query} AS has_query"]
    _write(job, name, selected, flags, "try_cast(s.store AS BIGINT) = o.store_id_id")


def instore_channel(job: Job) -> None:
    """The stores: their Parquet file, and view ``instore_orders`` and table ``instore_features``."""
    con, body = job.con, job.config["instore"]
    texts, numbers = ["TransType", "SaleType"], ["GrossAmount", "Discount", "BaseAmount"]
    keys = ["InvoiceNo", "StoreCode"]
    scan = csv_scan(body["orders_file_pattern"], ["BussTime", *keys, *texts, *numbers])
    typed = [f"{code(column)} AS {column}" for column in keys] + [f"{text(column)} AS {column}" for column in texts]
    typed += [f"{number(column, 'VARCHAR')} AS {column}" for column in numbers]
    excluded = ", ".join(literal(str(each).removesuffix(".0")) for each in body.get("exclude_store_codes", [9993]))
    con.execute(f"""
        CREATE TEMP TABLE instore_read AS SELECT t.*, local::DATE AS day, m.algonomy_id
        FROM (SELECT {", ".join(typed)}, {wall_clock("BussTime", job.clock)} AS local
              FROM {scan} WHERE NOT (is_long OR {" OR ".join(map(is_bad_number, numbers))})) t
        JOIN (SELECT invoice, store, day, min(algonomy_id) AS algonomy_id FROM mapping
              WHERE store IS NOT NULL AND day IS NOT NULL GROUP BY ALL) m
        ON m.invoice = t.InvoiceNo AND m.store = t.StoreCode AND m.day = local::DATE
        SEMI JOIN users ON users.algonomy_id = m.algonomy_id
        WHERE {job.window("local")} {f"AND t.StoreCode NOT IN ({excluded})" if excluded else ""}""")
    con.execute("DROP TABLE mapping")
    _without_repeated(job, "instore", [*keys, "day"], "local", "GrossAmount", [*keys, *texts, *numbers])
    scan = csv_scan(
        body["order_items_file_pattern"], ["InvoiceNo", "StoreCode", "OrderDatetime", "ProductCode", "Qty", "PriceNet"]
    )
    con.execute(f"""
        CREATE TEMP TABLE lines AS SELECT o.row_no, l.* EXCLUDE (invoice, store, day) FROM (
            SELECT {code("InvoiceNo")} AS invoice, {code("StoreCode")} AS store,
                ({wall_clock("OrderDatetime", job.clock)})::DATE AS day, {code("ProductCode")} AS item,
                coalesce({number("Qty", "VARCHAR")}, 0) AS quantity, false AS promo, NULL::TINYINT AS customized,
                NULL::TINYINT AS veg, {_price_bits(number("PriceNet", "VARCHAR"), job.bins)} AS price_bits
            FROM {scan} WHERE NOT (is_long OR {is_bad_number("Qty")} OR {is_bad_number("PriceNet")})) l
        JOIN instore_orders o ON o.InvoiceNo = l.invoice AND o.StoreCode = l.store AND o.day = l.day""")
    _features(job, "instore", "VARCHAR", ("ProductCode", "HeaderItemId", "ChoiceItemId"))
    selected = [
        "InvoiceNo AS order_id", f"{job.clock.utc('local')} AS order_placed_datetime", "local AS BussTime", "StoreCode",
        "GrossAmount AS total_price", "Discount AS discounted_price", "BaseAmount", "TransType", "algonomy_id",
        "SaleType", *STORE_COLUMNS,
    ]  # fmt: skip
    _write(job, "instore", selected, "", "s.store = o.StoreCode")


def _without_repeated(job: Job, name: str, keys: list[str], time: str, amount: str, columns: list[str]) -> None:
    """View ``{name}_orders``: ``{name}_read`` with the best row of each key, and ``row_no``.

    Repeats are few: only they are ranked. The rows stay where they are, as a deletion might renumber them.
    """
    key = ", ".join(keys)
    rest = ", ".join(f"{column} NULLS FIRST" for column in sorted(set(columns) - {time, amount}))
    job.con.execute(f"""
        CREATE TEMP TABLE {name}_repeats AS SELECT row_no FROM (
            SELECT rowid AS row_no, row_number() OVER (
                PARTITION BY {key} ORDER BY {time} DESC, {amount} DESC NULLS LAST, {rest}) AS place
            FROM {name}_read SEMI JOIN (SELECT {key} FROM {name}_read GROUP BY ALL HAVING count(*) > 1) USING ({key}))
        WHERE place > 1;
        CREATE TEMP VIEW {name}_orders AS SELECT o.*, o.rowid AS row_no
        FROM {name}_read o ANTI JOIN {name}_repeats r ON r.row_no = o.rowid""")


def _readable(kinds: dict[str, str], numbers: list[str], ids: list[str]) -> str:
    """Rows whose numbers and ids can be read: only those that the file holds as text, and ids as doubles, can fail."""
    bad = [is_bad_number(column) for column in numbers if kinds[column] == "VARCHAR"]
    bad += [is_bad_id(column) for column in ids if kinds[column] in ("VARCHAR", "DOUBLE")]
    return " AND ".join([f"NOT coalesce({each}, false)" for each in bad] or ["true"])


def _price_bits(price: str, bins: list[float]) -> str:
    chain = [f"WHEN {price} < {bins[0]} THEN 0"]
    chain += [f"WHEN {price} < {upper} THEN {1 << at}" for at, upper in enumerate(bins[1:])]
    return f"(CASE {' '.join(chain)} ELSE 0 END)::BIGINT"


def _features(job: Job, name: str, item_type: str, names: tuple[str, str, str]) -> None:
    """Table ``{name}_features`` from ``lines`` (gone then): one row per order with lines."""
    con, (item, header, choice) = job.con, names
    items = job.menu.items(item)
    grants = choices(job.config["common"]["clear_master_path"], header, choice)
    con.register("items_frame", items)
    con.register("choices_frame", grants)
    con.execute(f"""CREATE OR REPLACE TEMP TABLE items AS SELECT * REPLACE (try_cast(item AS {item_type}) AS item)
        FROM items_frame WHERE try_cast(item AS {item_type}) IS NOT NULL""")
    con.execute(f"""CREATE OR REPLACE TEMP TABLE choices AS SELECT try_cast(header AS {item_type}) AS header,
        try_cast(choice AS {item_type}) AS choice, allowed FROM choices_frame""")
    con.execute("""
        CREATE OR REPLACE TEMP TABLE removed AS
        WITH granted AS (SELECT row_no, choice AS item, max(allowed) AS allowed
                FROM lines JOIN choices ON lines.item = header WHERE NOT promo GROUP BY ALL),
            totals AS (SELECT row_no, item, sum(quantity) AS total FROM lines
                WHERE NOT promo AND item IN (SELECT choice FROM choices) GROUP BY ALL)
        SELECT row_no, item FROM granted JOIN totals USING (row_no, item) WHERE allowed >= total""")
    masks = ", ".join(f"bit_or(CASE WHEN kept THEN {mask} ELSE 0 END) AS {mask}" for mask in job.menu.all_masks)
    con.execute(f"""
        CREATE TEMP TABLE {name}_features AS SELECT row_no, sum(quantity) AS item_count, max(customized) AS customized,
            min(veg) AS veg_low, sum(veg) AS veg_sum, sum(CASE WHEN promo THEN quantity ELSE 0 END) AS promo_items,
            bit_or(CASE WHEN kept THEN price_bits ELSE 0 END) AS price_bits, {masks}
        FROM (SELECT lines.*, items.* EXCLUDE (item),
                NOT promo AND removed.row_no IS NULL AND items.item IS NOT NULL AS kept
            FROM lines LEFT JOIN items ON lines.item = items.item
            LEFT JOIN removed ON removed.row_no = lines.row_no AND removed.item = lines.item)
        GROUP BY row_no""")
    con.execute("DROP TABLE lines")


def make_names(job: Job, kind: str, table: str, source: str) -> str:
    """Table of the sorted category names of every distinct mask of a source: far fewer than rows. Returns its join."""
    masks = job.menu.masks[kind]
    cells = [
        f"CASE WHEN {job.menu.has(kind, [at])} THEN {literal(name)} END" for at, name in enumerate(job.menu.names[kind])
    ]
    listed = f"list_filter([{', '.join(cells)}]::VARCHAR[], lambda x: x IS NOT NULL)" if cells else "[]::VARCHAR[]"
    job.con.execute(f"""CREATE OR REPLACE TEMP TABLE {table} AS SELECT *, {listed} AS {kind}_names
        FROM (SELECT DISTINCT {", ".join(masks)} FROM {source})""")
    return f"LEFT JOIN {table} USING ({', '.join(masks)})"


def _write(job: Job, name: str, selected: list[str], flags: str, store_join: str) -> None:
    """The channel's published columns: its own, then the features."""
    job.con.register("stores_frame", stores(job.config["common"], by_mds=name != "instore"))
    joins = [make_names(job, kind, f"{kind}_lists", f"{name}_features") for kind in ("dri", "base")]
    price = [f"coalesce(price_bits >> {at} & 1, 0) AS {quoted(n + '_items_count')}" for at, n in enumerate(job.labels)]
    marks = [
        f"coalesce({job.menu.has(kind, places)}, false)::TINYINT AS {quoted(column)}"
        for kind in ("dri", "base")
        for column, places in job.menu.columns(kind).items()
    ]
    features = [
        *price, *marks, "coalesce(dri_names, []) AS unique_dri_categories_in_order",
        "coalesce(base_names, []) AS unique_base_products_in_order", "coalesce(f.item_count, 0) AS item_count",
        *([flags] if flags else []), f"{DAYPART.format('local')} AS order_time_of_day",
        "(isodow(local) > 5)::TINYINT AS is_weekend",
    ]  # fmt: skip
    job.con.execute(f"""COPY (SELECT {", ".join([*selected, *features])} FROM {name}_orders o
        LEFT JOIN {name}_features f ON f.row_no = o.row_no {" ".join(joins)} LEFT JOIN stores_frame s ON {store_join})
        TO {literal(str(job.out / f"{name}.parquet"))} (FORMAT parquet)""")
