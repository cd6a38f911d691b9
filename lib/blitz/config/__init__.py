"""The configs: read, validated and resolved; ``from blitz.config import load_config`` is the way in."""

from blitz.config.load import feature_pipeline_of, load_config, segmentation_of, validate_segments
from blitz.config.models import Config, FeaturePipeline, MicroPlanItem, RunOptions, Segmentation
from blitz.config.values import add_months, nearest

__all__ = [
    "Config",
    "FeaturePipeline",
    "MicroPlanItem",
    "RunOptions",
    "Segmentation",
    "add_months",
    "feature_pipeline_of",
    "load_config",
    "nearest",
    "segmentation_of",
    "validate_segments",
]
