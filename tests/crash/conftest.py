"""The S3 fixtures of this lane: one server for all of its modules."""

from s3_fixtures import bucket, calls, moto_endpoint, moto_server

__all__ = ["bucket", "calls", "moto_endpoint", "moto_server"]
