"""Rule segments: customer features as flags, names, bands, one segment per customer (docs/contract.md, section 5)."""

from collections.abc import Collection, Mapping, Sequence

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from blitz.accounts import KEPT, READ, Account, Reason, RowMetrics, by_reason, each_row
from blitz.catalog.spelling import found_as
from blitz.errors import InputError
from blitz.segmentation.rules import BAND_COLUMN as BAND_COLUMN
from blitz.segmentation.rules import RuleSet, band_condition, segment_column, segment_names
from blitz.spark.columns import quoted_col

ID_COLUMN = "algonomy_id"

CATEGORY_COUNT = "unique_dri_category_count"
MOST_ORDERS = 100
OMNICHANNEL = "omnichannel_"
DROP_REASONS = (Reason.BAD_RECORD, Reason.OVER_100_ORDERS, Reason.NO_CATEGORY)
CUSTOMERS_PER_SEGMENT, ORDERS_PER_SEGMENT = "customers per segment", "orders per segment"


def load(features: DataFrame, columns: Sequence[str], metrics: RowMetrics | None = None) -> DataFrame:
    """The customers that can be segmented, with those of ``columns`` that the table has.

    Customers with over 100 own-app orders or without a driver category are counted and dropped; NaN becomes null.
    Raises InputError where a column that the load itself needs is missing.
    """
    missing = [name for name in (ID_COLUMN, BAND_COLUMN, CATEGORY_COUNT) if name not in features.columns]
    if missing:
        raise InputError(f"the customer features lack {', '.join(missing)}; run the customer job first")
    over = ~(F.col(BAND_COLUMN) <= MOST_ORDERS)
    no_category = F.coalesce(F.col(CATEGORY_COUNT), F.lit(0)) == 0
    reason = (
        F.when(F.col(BAND_COLUMN).isNull() | F.col(ID_COLUMN).isNull(), Reason.BAD_RECORD)
        .when(over, Reason.OVER_100_ORDERS)
        .when(no_category, Reason.NO_CATEGORY)
    )
    reasoned = _without_nan(features).withColumn("reason", reason)
    is_kept = F.col("reason").isNull()
    if metrics is None:
        rows = reasoned.where(is_kept)
    else:
        counted = {READ: each_row(), KEPT: is_kept, **by_reason(F.col("reason"), DROP_REASONS)}
        rows = metrics.observe(reasoned, {"customers": counted}, keep=is_kept)
    found = [name for name in dict.fromkeys(columns) if name in features.columns]
    return rows.select(*[quoted_col(name) for name in found])


def _without_nan(df: DataFrame) -> DataFrame:
    """The frame with NaN as null: Spark treats NaN as greater than any number, pandas as missing."""
    floats = {name for name, kind in df.dtypes if kind in ("double", "float")}
    cells = [(name, quoted_col(name)) for name in df.columns]
    return df.select(*[F.when(~F.isnan(cell), cell).alias(name) if name in floats else cell for name, cell in cells])


def flag_name(column: str) -> str:
    """The name of the flag of a count column."""
    return column.replace("_count", "_flag")


def create_flags(df: DataFrame, columns: Sequence[str]) -> DataFrame:
    """Counts to 0/1 flags: each of ``columns`` that the frame has becomes ``> 0`` under its flag name; null is 0."""
    chosen = {name for name in columns if name != ID_COLUMN}

    def cell(name: str) -> Column:
        value = quoted_col(name)
        return F.coalesce((value > 0).cast("int"), F.lit(0)).alias(flag_name(name)) if name in chosen else value

    return df.select(*[cell(name) for name in df.columns])


def short_name(column: str, renames: Mapping[str, str]) -> str:
    """A column's name in rules and models: without a leading ``omnichannel_``, then renamed, by a key in either
    spelling (docs/contract.md, section 10)."""
    name = column.removeprefix(OMNICHANNEL)
    key = found_as([name], list(renames)).get(name)
    return name if key is None else renames[key]


def rename_columns(df: DataFrame, renames: Mapping[str, str], wanted: Collection[str] = ()) -> DataFrame:
    """The frame with the column names that the rules use; ``wanted`` names are found in either spelling.

    Raises InputError where two columns would share a name.
    """
    short = [short_name(name, renames) for name in df.columns]
    asked = {name: want for want, name in found_as(wanted, short).items()}
    names = [asked.get(name, name) for name in short]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(f"rename_dict gives several columns the name {', '.join(repeated)}")
    return df.select(*[quoted_col(old).alias(new) for old, new in zip(df.columns, names, strict=True)])


def rule_columns(rules: RuleSet) -> frozenset[str]:
    """The columns that the rules and their bands read."""
    conditions = (condition for band in rules.bands for rule in band.rules for condition in rule.conditions)
    return frozenset({BAND_COLUMN, *(condition.column for condition in conditions)})


def check_rule_columns(columns: Sequence[str], rules: RuleSet) -> None:
    """Raise InputError naming every column that a rule reads and the flagged table does not have."""
    missing = sorted(rule_columns(rules) - set(columns))
    if missing:
        raise InputError(
            f"the rules need {', '.join(missing)}, which the loaded customer features do not give; "
            "check cols_to_keep, convert_to_flag and rename_dict, and that the customer job has written the columns"
        )


def assign_band(df: DataFrame, band: str, rules: RuleSet) -> DataFrame:
    """The segments of one band: ``algonomy_id``, ``Segment``, and the order count that the summary adds up."""
    chosen = df.where(band_condition(band, rules))
    return chosen.select(ID_COLUMN, segment_column(band, rules).alias("Segment"), BAND_COLUMN)


def assign(df: DataFrame, rules: RuleSet) -> DataFrame:
    """The segments of all bands in one pass: ``algonomy_id``, ``Segment``, ``band``, ``ownapp_order_count``."""
    segment, band = F.lit(None).cast("string"), F.lit(None).cast("string")
    for each in rules.bands:
        inside = band_condition(each.name, rules)
        segment = F.when(inside, segment_column(each.name, rules)).otherwise(segment)
        band = F.when(inside, F.lit(each.name)).otherwise(band)
    return df.select(ID_COLUMN, segment.alias("Segment"), band.alias("band"), BAND_COLUMN)


def summarise(spark: SparkSession, assigned: DataFrame, band: str, rules: RuleSet) -> DataFrame:
    """One row per segment of the band, empty ones too: ``Segment``, ``Customer Count``, ``Total Orders``,
    ``Avg Orders per Customer`` (two decimals, rounded as numpy does; null where empty)."""
    names = segment_names(rules, band)
    every = spark.createDataFrame([(at, name) for at, name in enumerate(names)], "place int, Segment string")
    counts = assigned.groupBy("Segment").agg(F.count(F.lit(1)).alias("customers"), F.sum(BAND_COLUMN).alias("orders"))
    average = F.bround(F.col("orders") / F.col("customers") * 100, 0) / 100  # half to even, on Sail as well
    return (
        F.broadcast(every)
        .join(counts, "Segment", "left")
        .orderBy("place")
        .select(
            "Segment",
            F.coalesce(F.col("customers"), F.lit(0)).alias("Customer Count"),
            F.coalesce(F.col("orders"), F.lit(0)).alias("Total Orders"),
            average.alias("Avg Orders per Customer"),
        )
    )


def segment_metrics(rules: RuleSet) -> dict[str, dict[str, Column]]:
    """What to count on an ``assign`` frame: ``customers per segment`` and ``orders per segment``, by segment."""
    inside = {name: F.col("Segment") == name for name in segment_names(rules)}
    orders = {name: F.when(condition, F.col(BAND_COLUMN)) for name, condition in inside.items()}
    return {CUSTOMERS_PER_SEGMENT: inside, ORDERS_PER_SEGMENT: orders}


def band_tables(rules: RuleSet, metrics: RowMetrics) -> dict[str, list[tuple[str, int, int]]]:
    """Per band the (segment, customers, orders) of each segment, from the counts of ``segment_metrics``."""
    customers, orders = metrics.counts(CUSTOMERS_PER_SEGMENT), metrics.counts(ORDERS_PER_SEGMENT)
    return {
        band.name: [(name, customers[name], orders[name]) for name in segment_names(rules, band.name)]
        for band in rules.bands
    }


def account(metrics: RowMetrics) -> Account:
    """The account of the customers that ``load`` read."""
    return Account.of("customers", metrics.counts("customers"), DROP_REASONS)
