"""The public classes, with the names that users know."""

from blitz.pipelines.customers import CustomerFeaturePipeline
from blitz.pipelines.orders import OrderFeaturePipeline
from blitz.pipelines.segmentation import SegmentRunner

__all__ = ["CustomerFeaturePipeline", "OrderFeaturePipeline", "SegmentRunner"]
