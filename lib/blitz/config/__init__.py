"""The configs: read, validated and resolved; ``from blitz.config import load_config`` is the way in."""

from blitz.config.load import ConfigSource, config_of, load_config, validate_segments
from blitz.config.models import Config, FeaturePipeline, MicroPlanItem, RunOptions, Segmentation
from blitz.config.values import add_months, nearest

__all__ = [
    "Config",
    "ConfigSource",
    "FeaturePipeline",
    "MicroPlanItem",
    "RunOptions",
    "Segmentation",
    "add_months",
    "config_of",
    "load_config",
    "nearest",
    "validate_segments",
]
