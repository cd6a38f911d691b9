"""What S3 itself keeps of objects that were replaced: noncurrent versions, until a lifecycle rule expires them."""

from collections.abc import Collection
from typing import Any

from botocore.exceptions import ClientError

from blitz import storage
from blitz.storage.s3 import split


def version_notes(paths: Collection[str]) -> list[str]:
    """A line per bucket of the paths that keeps versions: what is left there, and which rule removes it when."""
    buckets = sorted({split(path)[0] for path in paths if storage.is_s3(path)})
    client = storage.s3_files().client if buckets else None
    return [note for bucket in buckets if (note := _note(client, bucket))]


def _note(client: Any, bucket: str) -> str | None:
    try:
        status = client.get_bucket_versioning(Bucket=bucket).get("Status")
    except ClientError as error:
        return f"bucket {bucket}: whether it keeps versions could not be read ({_code(error)})"
    if not status:
        return None
    kept = f"bucket {bucket}: keeps the versions of objects that were replaced or deleted"
    try:
        rules = client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    except ClientError as error:
        if _code(error) != "NoSuchLifecycleConfiguration":
            return f"{kept}; its lifecycle rules could not be read ({_code(error)})"
        rules = []
    days = [
        (rule["NoncurrentVersionExpiration"]["NoncurrentDays"], rule.get("Filter", {}).get("Prefix", ""))
        for rule in rules
        if rule.get("Status") == "Enabled" and "NoncurrentDays" in rule.get("NoncurrentVersionExpiration", {})
    ]
    if not days:
        return f"{kept}, and no lifecycle rule expires them: they still hold the rows (docs/privacy.md has the rule)"
    ends = ", ".join(f"{number} days under {prefix or 'all keys'}" for number, prefix in sorted(days))
    return f"{kept}; lifecycle rules expire them after {ends}"


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))
