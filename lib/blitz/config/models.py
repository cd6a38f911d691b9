"""The configs as frozen models with the names of the JSON (docs/contract.md, section 1).

``Config`` has the users' two bodies and our ``spark`` and ``run`` sections. Types are strict: "27" is not a number and
true is not 1. Checks that compare several values are in ``blitz.config.checks``.
"""

import hashlib
import json
from datetime import date
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from blitz.catalog.names import sibling
from blitz.config.fields import (
    CatalogPart,
    CutPoints,
    Day,
    DayStart,
    Filled,
    InputFile,
    InputPath,
    ListPath,
    Memory,
    Name,
    Number,
    OptionalPath,
    OutputFile,
    OutputPath,
    Region,
    Section,
    Sha256,
    SparkValue,
    StoreCode,
    TimeFormat,
    Url,
)
from blitz.config.values import AS_OF, add_months, check_timezone
from blitz.errors import ConfigError

ID_COLUMN = "algonomy_id"
MODEL_KEYS = "segment_*_model"
DEFAULT_BINS = (0.0, 35.0, 100.0, 175.0, 250.0, 325.0, 400.0, 600.0, 100000.0)
DEFAULT_LABELS = ("Add_ons", "Economy", "Value", "Mid_Tier", "Premium", "Indulgence", "Ultimate", "Group")
SCORES_NAME = "users_scores"
DEFAULT_CAP_SEGMENTS = ("Seg1_5_6", "Seg_6_15_10", "Seg15_plus_9")


class DeliveryChannel(Section):
    """``ownapp`` or ``swiggy``: Parquet folders of orders, lines and order queries."""

    orders_data_path: InputPath
    orders_columns: Filled[Name]
    order_items_data_path: InputPath
    order_items_columns: Filled[Name]
    output_path: OutputPath
    orderqueries_path: OptionalPath = ""
    has_query: bool = False

    INPUTS: ClassVar[tuple[str, ...]] = ("orders_data_path", "order_items_data_path", "orderqueries_path")

    @property
    def orders_path(self) -> str:
        """Where the orders are."""
        return self.orders_data_path

    @property
    def lines_path(self) -> str:
        """Where the lines are."""
        return self.order_items_data_path

    @property
    def queries_path(self) -> str | None:
        """Where the order queries are; None where the channel has none."""
        return self.orderqueries_path if self.has_query else None


class InstoreChannel(Section):
    """``instore``: globs of CSV or Parquet files; ``exclude_store_codes`` as canonical text; ``time_format`` for times
    that are not ISO; ``multi_line``: records may go on in the next line inside quotes."""

    orders_file_pattern: InputPath
    order_items_file_pattern: InputPath
    output_path: OutputPath
    exclude_store_codes: list[StoreCode] = ["9993"]
    time_format: TimeFormat | None = None
    multi_line: bool = False

    INPUTS: ClassVar[tuple[str, ...]] = ("orders_file_pattern", "order_items_file_pattern")

    @property
    def orders_path(self) -> str:
        """Where the orders are."""
        return self.orders_file_pattern

    @property
    def lines_path(self) -> str:
        """Where the lines are."""
        return self.order_items_file_pattern

    @property
    def queries_path(self) -> str | None:
        """Where the order queries are: bills of the stores have none."""
        return None


class RfmCuts(Section):
    """``customer.scores.rfm_cuts``: four ascending cut points per score; None: the quantiles of the run's customers."""

    recency: CutPoints | None = None
    frequency: CutPoints | None = None
    monetary: CutPoints | None = None


class Scores(Section):
    """``customer.scores``: for how many days a customer is new, the cut points, and the rules that name the scores."""

    new_days: Annotated[int, Field(ge=0, le=3650)] = 30
    rfm_cuts: RfmCuts = RfmCuts()
    rfm_rules_path: InputFile | None = None


class Customer(Section):
    """``customer``: the first day that counts, the outputs, and the category lists of older configs (None: no bound).

    ``output_scores_path``: by default ``users_scores.parquet`` next to the customer output (``load_config``).
    """

    cutoff_date: Day
    output_path: OutputPath
    output_scores_path: OutputPath | None = None
    scores: Scores = Scores()
    dri_categ_names: Filled[Name] | None = None
    ownapp_base_categs: Filled[Name] | None = None
    swiggy_base_categs: Filled[Name] | None = None
    instore_base_categs: Filled[Name] | None = None
    cols: Filled[Name] | None = None
    price_bucket_columns: Filled[Name] | None = None

    def base_categories(self, channel: str) -> list[str] | None:
        """The base categories of a channel that count; None: no bound."""
        names: list[str] | None = self.get(f"{channel}_base_categs")
        return names


class PriceConfig(Section):
    """Ascending price bins (rupees, closed on the left) and one label for each gap between two of them."""

    price_bins: Annotated[list[Number], Field(min_length=2)] = list(DEFAULT_BINS)
    bucket_labels: Filled[Name] = list(DEFAULT_LABELS)


class Common(Section):
    """``common``: the run date, the window of months before it, local time, mapping files, price buckets."""

    current_run_date: Day
    months_offset: Annotated[int, Field(ge=1, le=1200)] = 27
    timezone: Annotated[str, AfterValidator(check_timezone)] = "Asia/Kolkata"
    mapping_file: InputPath
    store_mds_dsr_path: InputPath
    store_master_path: InputPath
    categories_path: InputPath
    clear_master_path: InputPath
    price_config: PriceConfig = PriceConfig()
    mapping_date_format: TimeFormat | None = None
    business_day_starts: DayStart = "00:00"

    @property
    def business_day_minutes(self) -> int:
        """Minutes after midnight at which the business day of the stores starts."""
        hours, minutes = self.business_day_starts.split(":")
        return int(hours) * 60 + int(minutes)


class FeaturePipeline(Section):
    """The body of the users' ``feature_pipeline_config.json``."""

    ownapp: DeliveryChannel
    swiggy: DeliveryChannel
    instore: InstoreChannel
    customer: Customer
    common: Common

    def channel(self, name: str) -> DeliveryChannel | InstoreChannel:
        """The section of a channel; KeyError for an unknown one."""
        if name not in CHANNEL_SECTIONS:
            raise KeyError(name)
        section: DeliveryChannel | InstoreChannel = self[name]
        return section

    @property
    def window_start(self) -> date:
        """The first local day of the order window: ``months_offset`` months before the run date."""
        return add_months(self.common.current_run_date, -self.common.months_offset)

    @property
    def customer_start(self) -> date:
        """The first local day of the customer window: the cutoff date, or the start of the order window if later."""
        return max(self.customer.cutoff_date, self.window_start)

    @property
    def scores_path(self) -> str:
        """Where the scores are published."""
        return self.customer.output_scores_path or scores_next_to(self.customer.output_path)


CHANNEL_SECTIONS: dict[str, type[DeliveryChannel] | type[InstoreChannel]] = {
    name: section
    for name, field in FeaturePipeline.model_fields.items()
    if (section := field.annotation) in (DeliveryChannel, InstoreChannel)
}


class MicroPlanItem(Section):
    """One micro-segmentation: the customers of ``source_segments``, scored by the payload of ``model_key``."""

    name: Name
    source_segments: Filled[Name]
    model_key: Name
    enabled: bool = True


class Segmentation(Section):
    """The body of the users' ``segmentation_config.json``; ``models`` has every ``segment_*_model`` path."""

    input_path: OutputPath
    output_segments_path: OutputPath
    output_microsegments_path: OutputPath
    models: dict[str, InputFile] = Field(alias="segment_*_model")
    cols_to_keep: Filled[Name]
    convert_to_flag: list[Name] = []
    rename_dict: dict[Name, Name] = {}
    rename_dict_microsegments: dict[Name, Name] = {}
    micro_plan: list[MicroPlanItem] = []
    cap_segments: list[Name] = list(DEFAULT_CAP_SEGMENTS)
    lower_q: Annotated[Number, Field(ge=0, le=1)] = 0.01
    upper_q: Annotated[Number, Field(ge=0, le=1)] = 0.99
    rules_path: InputFile | None = None
    scores_path: OutputPath | None = None

    @property
    def listed_columns(self) -> list[str]:
        """The columns of ``cols_to_keep`` and ``convert_to_flag``, each once."""
        return list(dict.fromkeys([*self.cols_to_keep, *self.convert_to_flag]))

    @model_validator(mode="before")
    @classmethod
    def _gather_models(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        models = {key: value for key, value in data.items() if is_model_key(key)}
        return {key: value for key, value in data.items() if key not in models} | {MODEL_KEYS: models}

    def __getitem__(self, key: str) -> Any:
        """The value of a key of the JSON object, a model's path by its model key; KeyError for other keys."""
        return self.models[key] if key in self.models else super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        """Whether ``config[key]`` has a value."""
        return key in self.models or super().__contains__(key)


class Gates(Section):
    """``run.gates``: the limits that stop a run before it publishes; null switches a gate off."""

    empty_channel: bool | None = True
    freshness_days: Annotated[int, Field(ge=0, le=35)] | None = 7
    no_customer_rise: Annotated[Number, Field(ge=0, le=1)] | None = 0.2
    fewer_customers: Annotated[Number, Field(ge=0, le=1)] | None = 0.5
    missing_days: Literal["warning", "stop"] | None = "warning"


class RunOptions(Section):
    """``run``: how to publish, what to refuse, where to write other files. None: the default path."""

    engine: Literal["spark", "sail"] = "spark"
    memory: Memory | None = None
    format: Literal["parquet", "delta", "iceberg"] = "parquet"
    catalog: CatalogPart | None = None
    schema_name: CatalogPart | None = Field(default=None, alias="schema")
    snake_case_columns: bool = False
    max_rejected_fraction: Annotated[Number, Field(ge=0, le=1)] = 0.01
    allow_repeated_files: bool = False
    gates: Gates = Gates()
    strict_models: bool = False
    model_sha256: dict[str, Sha256] = {}
    quarantine_path: OutputPath | None = None
    manifest_path: OutputFile | None = None
    debug_log: OutputFile | None = None
    report_path: OutputFile | None = None
    suppression_path: ListPath | None = None
    history_path: ListPath | None = None
    s3_endpoint: Url | None = None
    s3_region: Region | None = None


class Config(Section):
    """A validated, resolved config: dates moved by as-of, ``{as_of}`` filled in, defaults in place.

    Built by ``load_config`` only. A job that has one body only may run the steps that need no other.
    """

    feature_pipeline_body: FeaturePipeline | None = Field(default=None, alias="feature_pipeline")
    segmentation_body: Segmentation | None = Field(default=None, alias="segmentation")
    spark: dict[str, SparkValue] = {}
    run: RunOptions = RunOptions()

    @property
    def feature_pipeline(self) -> FeaturePipeline:
        """The users' feature pipeline; raises ConfigError where this config has none."""
        if self.feature_pipeline_body is None:
            raise ConfigError(["feature_pipeline: this step needs it; give --conf or --feature_pipeline_config"])
        return self.feature_pipeline_body

    @property
    def segmentation(self) -> Segmentation:
        """The users' segmentation; raises ConfigError where this config has none."""
        if self.segmentation_body is None:
            raise ConfigError(["segmentation: this step needs it; give --conf or --segmentation_config"])
        return self.segmentation_body

    @property
    def config_hash(self) -> str:
        """SHA-256 (hex) over the canonical JSON of the resolved config: equal for equal settings in any order."""
        resolved = self.model_dump(mode="json", by_alias=True)
        return hashlib.sha256(json.dumps(resolved, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def scores_next_to(customers_path: str) -> str:
    """The default path of the scores: next to the customer output, and of one run date as that is."""
    name = customers_path.rstrip("/").rpartition("/")[2]
    return sibling(customers_path, f"{SCORES_NAME}{f'_{AS_OF}' if AS_OF in name else ''}.parquet")


def is_model_key(key: object) -> bool:
    """Whether a key of the segmentation body names a model: ``segment_*_model``."""
    return isinstance(key, str) and len(key) > len("segment__model") and key[:8] == "segment_" and key[-6:] == "_model"
