"""Customer features and segments on Spark: raw orders of three channels to rule segments and KMeans micro-segments."""

__version__ = "0.1.0"
