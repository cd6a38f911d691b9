"""Remove what is past its retention: dated outputs with what belongs to them, quarantines and exports."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from pyspark.sql import SparkSession

from blitz import storage
from blitz.erase.catalogs import drop
from blitz.erase.places import DatedPlaces, Place
from blitz.publish.files import store_of
from blitz.publish.tables import output_exists

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Expired:
    """A place past its retention: its name and path, how many files it has, and the run date or last day of writing."""

    name: str
    path: str
    files: int
    day: date


def expired_places(
    dated: Sequence[DatedPlaces], before: date, spark: SparkSession | None = None
) -> list[tuple[Expired, Place]]:
    """The places of run dates before a day, and the quarantines of all run dates that were last written before it.

    ``spark`` looks for tables of a catalog; without it they are left out.
    """
    found: dict[str, tuple[Expired, Place]] = {}
    for each in dated:
        for place in each.dated if each.run_date and each.run_date < before else ():
            if _exists(place.path, spark):
                assert each.run_date is not None
                files = 0 if storage.is_table(place.path) else len(storage.list_files(place.path))
                found[place.path] = Expired(place.name, place.path, files, each.run_date), place
        for place in each.places:
            last = _last_written(place.path) if place.kind == "quarantine" else None
            if last and last < before and place.path not in found:
                files = len(storage.list_files(place.path))
                found[place.path] = Expired(place.name, place.path, files, last), place
    return list(found.values())


def expired_exports(folders: Sequence[str], before: date) -> list[Expired]:
    """The files of exported lists that were last written before a day."""
    files = [info for folder in folders for info in storage.list_files(folder)]
    dated = [(info, datetime.fromtimestamp(info.modified, UTC).date()) for info in files]
    return [Expired("exported list", info.path, 1, day) for info, day in dated if day < before]


def remove_place(place: Place, run_id: str, spark: SparkSession | None = None) -> None:
    """Remove a place: the folder of a table at once, so that no reader sees a part of it, under its lock; a table of a
    catalog by its own drop.

    Raises PublishError where a run is publishing to such a folder.
    """
    log.info("%s: removed", place.path)
    if storage.is_table(place.path):
        assert spark is not None
        drop(spark, place.path)
        return
    if place.kind not in ("table", "quarantine"):
        storage.delete(place.path)
        return
    store = store_of(place.path)
    with store.lock(run_id):
        store.recover()
        store.discard(run_id)


def _exists(path: str, spark: SparkSession | None) -> bool:
    if storage.is_table(path):
        return spark is not None and output_exists(spark, path)
    return storage.exists(path)


def _last_written(path: str) -> date | None:
    files = storage.list_files(path) if not storage.is_table(path) and storage.exists(path) else []
    return max((datetime.fromtimestamp(info.modified, UTC).date() for info in files), default=None)
