"""The checks that compare several values of a config (docs/contract.md, section 1).

They read the plain JSON, not the models: a wrong value elsewhere must not hide a problem here, since one message lists
all problems. Values of the wrong type are skipped; the models report them.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator

from blitz.catalog.spelling import found_as, same_names
from blitz.config.models import (
    CHANNEL_SECTIONS,
    DEFAULT_BINS,
    DEFAULT_LABELS,
    ID_COLUMN,
    DeliveryChannel,
    is_model_key,
)
from blitz.config.paths import check_paths, check_tables
from blitz.config.values import Problem, did_you_mean, dig, is_number, join_path, nearest, parse_date, parsed, show
from blitz.segmentation.rules import default_rules, segment_names
from blitz.spark.settings import problem_of

_PLAN, _CAPPED = "segmentation.micro_plan", "segmentation.cap_segments"
_ORDERS = (
    "id order_no user_id business_model_id_id store_id_id store_name order_placed_datetime order_delivery_datetime "
    "schedule_datetime before_payment_delivery_eta before_payment_pickup_eta coupon_price applied_coupon offer_applied "
    "discounted_price tip is_distance_fee_applicable cart_id active status_id platform channel payment_method "
    "gross_price total_price total_cgst total_sgst delivery_cgst delivery_sgst actual_subtotal sub_total_price "
    "external_order_id"
)
ORDER_COLUMNS = frozenset(_ORDERS.split())
_LINES = (
    "sales_id quantity item_id_id item_name is_customized is_veg promo_item tpo_discount_price tpo_original_price "
    "tpo_saved_price created_at original_price"
)
LINE_COLUMNS = frozenset(_LINES.split())
_MISSPELT_COLUMN = 0.85  # stricter than for keys: tables may have more columns than the known ones
_MISSPELT_RENAME = 0.95  # stricter still: category columns are long and differ in a few letters


def check_config(tree: object) -> Iterator[Problem]:
    """Every problem between the values of a config, as (JSON path, message)."""
    yield from _check_dates(tree)
    for name, section in CHANNEL_SECTIONS.items():
        if section is DeliveryChannel:
            yield from _check_channel(tree, f"feature_pipeline.{name}")
    for key in ("dri_categ_names", *(f"{name}_base_categs" for name in CHANNEL_SECTIONS), "cols"):
        yield from _check_unique(tree, f"feature_pipeline.customer.{key}")
    yield from _check_prices(tree, "feature_pipeline.common.price_config")
    if isinstance(dig(tree, "segmentation"), dict):
        yield from _check_columns(tree)
        yield from _check_plan(tree)
        if dig(tree, "segmentation.rules_path") is None:
            yield from check_segments(tree, segment_names(default_rules()))
        yield from _check_quantiles(tree)
    yield from _check_pins(tree)
    yield from _check_spark(tree)
    if dig(tree, "run.history_path") is not None and dig(tree, "feature_pipeline.common.current_run_date") is None:
        yield "run.history_path", "needs a run date: feature_pipeline.common.current_run_date"
    yield from check_paths(tree)
    yield from check_tables(tree)
    yield from _check_spelling(tree)


def check_segments(tree: object, known: Collection[str]) -> Iterator[Problem]:
    """Segments that the plan or ``cap_segments`` names and that are not among the known ones."""
    for index, item in enumerate(_list(dig(tree, _PLAN))):
        for place, name in _texts(dig(item, "source_segments")):
            if name not in known:
                path = f"{_PLAN}[{index}].source_segments[{place}]"
                yield path, f"unknown segment {show(name)}{did_you_mean(name, known)}"
    for place, name in _texts(dig(tree, _CAPPED)):
        if name not in known:
            yield f"{_CAPPED}[{place}]", f"unknown segment {show(name)}{did_you_mean(name, known)}"


def _check_dates(tree: object) -> Iterator[Problem]:
    run_date = parsed(parse_date, dig(tree, "feature_pipeline.common.current_run_date"))
    cutoff = parsed(parse_date, dig(tree, "feature_pipeline.customer.cutoff_date"))
    if run_date and cutoff and cutoff >= run_date:
        message = f"{cutoff} must be before feature_pipeline.common.current_run_date, {run_date}"
        yield "feature_pipeline.customer.cutoff_date", message


def _check_channel(tree: object, channel: str) -> Iterator[Problem]:
    if dig(tree, f"{channel}.has_query") is True and dig(tree, f"{channel}.orderqueries_path") in (None, ""):
        yield f"{channel}.orderqueries_path", "must not be empty where has_query is true"
    for key, known in (("orders_columns", ORDER_COLUMNS), ("order_items_columns", LINE_COLUMNS)):
        path = f"{channel}.{key}"
        yield from _check_unique(tree, path)
        columns = _texts(dig(tree, path))
        absent = known - {column for _, column in columns}
        for place, column in columns:
            meant = None if column in known else nearest(column, absent, _MISSPELT_COLUMN)
            if meant:
                yield f"{path}[{place}]", f"unknown column {show(column)}; did you mean {show(meant)}?"


def _check_prices(tree: object, path: str) -> Iterator[Problem]:
    given = dig(tree, path)
    if given is not None and not isinstance(given, dict):
        return
    bins = (given or {}).get("price_bins", list(DEFAULT_BINS))
    labels = (given or {}).get("bucket_labels", list(DEFAULT_LABELS))
    for place, (low, high) in enumerate(zip(_list(bins), _list(bins)[1:], strict=False), start=1):
        if is_number(low) and is_number(high) and high <= low:  # type: ignore[operator]
            message = f"{show(high)} must be greater than the bin before it, {show(low)}"
            yield f"{path}.price_bins[{place}]", message
    yield from _check_unique(tree, f"{path}.bucket_labels")
    if isinstance(bins, list) and isinstance(labels, list) and len(bins) > 1 and len(labels) != len(bins) - 1:
        message = f"{len(bins)} price_bins need {len(bins) - 1} labels, not {len(labels)}"
        yield f"{path}.bucket_labels", message


def _check_spelling(tree: object) -> Iterator[Problem]:
    """Names that are one without blanks and capitals, where outputs are written so."""
    if dig(tree, "run.snake_case_columns") is not True:
        return
    lists = ("feature_pipeline.common.price_config.bucket_labels", "segmentation.cols_to_keep")
    for path in (*lists, "segmentation.convert_to_flag"):
        for short, names in same_names(text for _, text in _texts(dig(tree, path))).items():
            yield path, f"{' and '.join(map(show, names))} are both {short} with run.snake_case_columns"


def _check_columns(tree: object) -> Iterator[Problem]:
    kept = _texts(dig(tree, "segmentation.cols_to_keep"))
    flagged = _texts(dig(tree, "segmentation.convert_to_flag"))
    yield from _check_unique(tree, "segmentation.cols_to_keep")
    yield from _check_unique(tree, "segmentation.convert_to_flag")
    kept_names = {column.lower() for _, column in kept}
    for place, column in flagged:
        path = f"segmentation.convert_to_flag[{place}]"
        if column != ID_COLUMN and column.lower() in kept_names:  # the id may be listed: it is never a flag
            yield path, f"{show(column)} is also in cols_to_keep; list it in one of the two"
    if (
        not flagged
        and dig(tree, "segmentation.convert_to_flag") in (None, [])
        and dig(tree, "segmentation.rules_path") is None
    ):
        yield "segmentation.convert_to_flag", "must not be empty: the built-in rules need flags"
    plain = list(dict.fromkeys([column for _, column in kept] + [column for _, column in flagged]))
    as_flags = {column for _, column in flagged if column != ID_COLUMN}
    flags = [column.replace("_count", "_flag") if column in as_flags else column for column in plain]
    yield from _check_renames(tree, "segmentation.rename_dict", flags)
    yield from _check_renames(tree, "segmentation.rename_dict_microsegments", plain)


def _check_renames(tree: object, path: str, columns: list[str]) -> Iterator[Problem]:
    raw = dig(tree, path)
    renames = {old: new for old, new in raw.items() if _is_text(old) and _is_text(new)} if isinstance(raw, dict) else {}
    stripped = [column.removeprefix("omnichannel_") for column in columns]
    sources: dict[str, list[str]] = defaultdict(list)  # Spark does not tell upper from lower case in column names
    for column in dict.fromkeys([*renames, *stripped]):
        sources[renames.get(column, column).lower()].append(column)
    for old, new in renames.items():
        others = [column for column in sources[new.lower()] if column != old]
        if others:
            yield join_path(path, old), f"the new name {show(new)} is also that of {show(others[0])}"
        unused = set(stripped) - set(renames)
        meant = None if found_as([old], stripped) else nearest(old, unused, _MISSPELT_RENAME)
        if meant:
            yield join_path(path, old), f"unknown column {show(old)}; did you mean {show(meant)}?"


def _check_plan(tree: object) -> Iterator[Problem]:
    body = dig(tree, "segmentation")
    models = [key for key in body if is_model_key(key)] if isinstance(body, dict) else []
    names: dict[str, int] = {}
    for index, item in enumerate(_list(dig(tree, _PLAN))):
        path = f"{_PLAN}[{index}]"
        name, key = dig(item, "name"), dig(item, "model_key")
        if _is_text(name) and names.setdefault(str(name), index) != index:
            yield f"{path}.name", f"{show(name)} is already the name of micro_plan[{names[str(name)]}]"
        if isinstance(key, str) and key and key not in models:
            yield f"{path}.model_key", f"unknown model key {show(key)}{did_you_mean(key, models)}"
        yield from _check_unique_list(dig(item, "source_segments"), f"{path}.source_segments")
    yield from _check_unique(tree, _CAPPED)


def _check_quantiles(tree: object) -> Iterator[Problem]:
    body = dig(tree, "segmentation")
    lower, upper = (body.get("lower_q", 0.01), body.get("upper_q", 0.99)) if isinstance(body, dict) else (0.0, 1.0)
    if is_number(lower) and is_number(upper) and lower >= upper:
        yield "segmentation.lower_q", f"{show(lower)} must be less than upper_q, {show(upper)}"


def _check_pins(tree: object) -> Iterator[Problem]:
    pins, body = dig(tree, "run.model_sha256"), dig(tree, "segmentation")
    if not isinstance(pins, dict) or not isinstance(body, dict):
        return
    models = [key for key in body if is_model_key(key)]
    for key in pins:
        if key not in models:
            yield (
                join_path("run.model_sha256", str(key)),
                f"unknown model key {show(key)}{did_you_mean(str(key), models)}",
            )


def _check_spark(tree: object) -> Iterator[Problem]:
    settings = dig(tree, "spark")
    for key, value in settings.items() if isinstance(settings, dict) else ():
        if not (isinstance(key, str) and key.startswith("spark.") and key.isprintable() and " " not in key):
            yield join_path("spark", str(key)), "a Spark setting must start with spark. and contain no blanks"
        elif isinstance(value, str) and (problem := problem_of(key, value)):
            yield join_path("spark", key), problem


def _check_unique(tree: object, path: str) -> Iterator[Problem]:
    return _check_unique_list(dig(tree, path), path)


def _check_unique_list(values: object, path: str) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for place, text in _texts(values):
        if seen.setdefault(text.lower(), place) != place:
            yield f"{path}[{place}]", f"{show(text)} appears twice, first at [{seen[text.lower()]}]"


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _texts(value: object) -> list[tuple[int, str]]:
    return [(place, text) for place, text in enumerate(_list(value)) if isinstance(text, str) and text]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""
