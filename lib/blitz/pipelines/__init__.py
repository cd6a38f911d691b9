"""The public classes, with the names that users know."""

from blitz.pipelines.customers import CustomerFeaturePipeline
from blitz.pipelines.orders import OrderFeaturePipeline
from blitz.pipelines.scores import ScorePipeline
from blitz.pipelines.segmentation import SegmentRunner

__all__ = ["CustomerFeaturePipeline", "OrderFeaturePipeline", "ScorePipeline", "SegmentRunner"]
