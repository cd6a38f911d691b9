"""The names with blanks or capitals that the outputs of a config may have (docs/contract.md, section 10)."""

from collections.abc import Iterator

from blitz.catalog.spelling import Spelling, snake_case
from blitz.config import Config
from blitz.config.models import DEFAULT_LABELS
from blitz.features.customers import DAYPART_SETS, SCOPES, bucket_count_column, daypart_column
from blitz.features.orders import bucket_column
from blitz.raw.specs import INSTORE_ORDERS


def spelling_of(config: Config) -> Spelling:
    """How the outputs of a config spell their columns, and how they are read back."""
    return Spelling.of(config.run.snake_case_columns, _names(config))


def _names(config: Config) -> Iterator[str]:
    """The names that a column of an output may have; those of the segmentation are the users' own."""
    common = config.feature_pipeline_body and config.feature_pipeline_body.common
    labels = list(common.price_config.bucket_labels if common else DEFAULT_LABELS)
    yield "Segment"
    yield from (field.name for field in INSTORE_ORDERS.fields)
    yield from map(bucket_column, labels)
    for scope in SCOPES:
        yield from (daypart_column(scope, chosen) for chosen in DAYPART_SETS)
        yield from (bucket_count_column(scope, label) for label in labels)
    if config.segmentation_body:
        listed = [*config.segmentation_body.cols_to_keep, *config.segmentation_body.convert_to_flag]
        yield from (name for name in listed if name != snake_case(name))  # the others may be meant for one of the above


def with_original_names(config: Config) -> Config:
    """The config whose lists of columns have the original names, in whichever spelling they are given."""
    body = config.segmentation_body
    if body is None:
        return config
    original = spelling_of(config).original
    kept, flags = ([*map(original, names)] for names in (body.cols_to_keep, body.convert_to_flag))
    changed = body.model_copy(update={"cols_to_keep": kept, "convert_to_flag": flags})
    return config.model_copy(update={"segmentation_body": changed})
