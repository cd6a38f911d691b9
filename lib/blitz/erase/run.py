"""One erasure: the suppression list first, then every place with the customers' ids, then the proof."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

from pyspark.sql import SparkSession

from blitz import storage
from blitz.config import Config
from blitz.erase.buckets import version_notes
from blitz.erase.certificate import OTHERS, RAW_FILES, Certificate
from blitz.erase.lists import erase_from_lists
from blitz.erase.places import DatedPlaces, Place
from blitz.erase.quarantine import Quarantines
from blitz.erase.request import Request, suppress
from blitz.erase.retention import expired_exports, expired_places, remove_place
from blitz.erase.tables import Tables, recover_leftovers
from blitz.erase.texts import ids_in
from blitz.errors import BlitzError, ConfigError
from blitz.publish.files import store_of
from blitz.publish.tables import output_exists
from blitz.spark.staging import Staging

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """What one call of the job does.

    Args:
        config: the config as it is.
        dated: the places of all run dates.
        run_id: the name of the erasure.
        request: the customers to erase; None where only ``older_than`` is asked for.
        lists: the folders of exported lists.
        older_than: remove what is of a run date before this day.
        dry_run: only search and count.
    """

    config: Config
    dated: Sequence[DatedPlaces]
    run_id: str
    request: Request | None = None
    lists: Sequence[str] = ()
    older_than: date | None = None
    dry_run: bool = False

    def places(self, *kinds: str) -> list[Place]:
        """The places of some kinds, those of all run dates."""
        return [place for each in self.dated for place in each.places if place.kind in kinds]

    @property
    def suppression_path(self) -> str:
        """The suppression list. Raises ConfigError where the config names none."""
        if self.config.run.suppression_path is None:
            raise ConfigError(["run.suppression_path: must name a file; without it the customers would come back"])
        return self.config.run.suppression_path


def erase(task: Task, certificate: Certificate, spark: SparkSession | None = None) -> None:
    """Remove what is past its retention, erase the customers, and keep the certificate up to date on the way.

    Interrupted at any moment, it can be called again. ``spark`` is needed for customers and tables of a catalog.

    Raises PublishError where a run is publishing, BlitzError where rows of the customers are left in the end; the
    certificate says what was done until then.
    """
    with _alone(task):
        _save(task, certificate)
        if task.older_than:
            _expire(task, task.older_than, certificate, spark)
        if task.request:
            assert spark is not None
            _Erasure(task, task.request, certificate, spark).run()
        certificate.status = "complete"
        _save(task, certificate)


@contextmanager
def _alone(task: Task) -> Iterator[None]:
    """Only one erasure at a time adds to a suppression list."""
    if task.request is None or task.dry_run:
        yield
        return
    with store_of(task.suppression_path).lock(task.run_id):
        yield


def _save(task: Task, certificate: Certificate) -> None:
    if not task.dry_run:
        certificate.write()


def _expire(task: Task, before: date, certificate: Certificate, spark: SparkSession | None) -> None:
    """Remove what is past its retention, or list it."""
    for expired, place in expired_places(task.dated, before, spark):
        certificate.add_expired(expired)
        if not task.dry_run:
            remove_place(place, task.run_id, spark)
            certificate.write()
    for export in expired_exports(task.lists, before):
        certificate.add_expired(export)
        if not task.dry_run:
            log.info("%s: removed", export.path)
            storage.delete(export.path)
    _save(task, certificate)


class _Erasure:
    """The customers of a request, erased from all places."""

    def __init__(self, task: Task, request: Request, certificate: Certificate, spark: SparkSession) -> None:
        self._task, self._request, self._certificate, self._spark = task, request, certificate, spark
        self._tables = Tables(spark, request)

    def run(self) -> None:
        """Do it, the suppression list first: from then on no run brings the customers back."""
        task, certificate = self._task, self._certificate
        certificate.not_touched += [RAW_FILES, *OTHERS]
        if not task.dry_run:
            entries = suppress(self._request, task.suppression_path)
            certificate.suppression = {"path": task.suppression_path, "entries": entries}
            log.info("suppression list: %s entries, %s", f"{entries:,}", task.suppression_path)
            for path in recover_leftovers(self._spark, task.places("table", "quarantine")):
                certificate.removed.append({"name": "what a killed run left", "path": path})
        self._remove_copies()
        self._erase_from_quarantines()
        self._erase_from_tables()
        self._erase_from_lists()
        self._search_texts()
        certificate.not_touched += version_notes(self._paths())
        if not task.dry_run:
            self._require_gone()

    def _remove_copies(self) -> None:
        for place in self._task.places("copies"):
            if storage.exists(place.path):
                self._certificate.removed.append({"name": place.name, "path": place.path})
                if not self._task.dry_run:
                    log.info("%s: removed", place.path)
                    storage.delete(place.path)
        _save(self._task, self._certificate)

    def _erase_from_quarantines(self) -> None:
        with Staging() as staging:
            quarantines = Quarantines(self._task.config, self._spark, self._request, staging)
            for place in self._task.places("quarantine"):
                if not self._has_rows(place):
                    continue
                files, rows, hits = quarantines.erase(place, self._task.run_id, dry_run=self._task.dry_run)
                entry = {"name": place.name, "path": place.path, "files_read": files, "rows_read": rows}
                self._certificate.quarantines.append(entry | {"rows_removed": hits})
                log.info("%s: %s of %s rows are the customers', %s", place.name, f"{hits:,}", f"{rows:,}", place.path)
                _save(self._task, self._certificate)
        if quarantines.problem:
            note = f"rejected rows that only the customer mapping connects with the customers: {quarantines.problem}"
            self._certificate.not_touched.append(note)

    def _has_rows(self, quarantine: Place) -> bool:
        if storage.is_table(quarantine.path):
            return output_exists(self._spark, quarantine.path)
        return storage.exists(quarantine.path) and bool(storage.list_files(quarantine.path))

    def _erase_from_tables(self) -> None:
        places = self._task.places("table")
        customers: set[str] = set()
        for name in dict.fromkeys(place.name for place in places):
            found, here = self._tables.find([place for place in places if place.name == name])
            customers |= here
            for number, table in enumerate(found, start=1):
                if not table.is_touched or self._task.dry_run:
                    self._certificate.add_untouched(table)
                else:
                    self._certificate.add_table(self._tables.erase(table, self._task.run_id))
                log.info(
                    "%s %d of %d: %s of %s rows are the customers', in %s of %s files, %s",
                    name, number, len(found), f"{table.hit_rows:,}", f"{table.rows:,}", f"{len(table.hits):,}",
                    f"{table.files:,}", table.place.path,
                )  # fmt: skip
                self._certificate.customers_found = len(customers)
                _save(self._task, self._certificate)

    def _erase_from_lists(self) -> None:
        for folder in self._task.lists:
            done = erase_from_lists(folder, self._request.customers, self._task.run_id, dry_run=self._task.dry_run)
            counted = [each for each in done if each.problem is None]
            rows, hits = sum(each.rows for each in counted), sum(each.hits for each in counted)
            entry = {"name": "exported lists", "path": folder, "files_read": len(counted), "rows_read": rows}
            self._certificate.lists.append(
                entry | {"files_rewritten": sum(each.hits > 0 for each in counted), "rows_removed": hits}
            )
            problems = [f"{each.path}: {each.problem}" for each in done if each.problem]
            self._certificate.not_touched += problems
            for problem in problems:
                log.warning("not searched: %s", problem)
            log.info("exported lists: %s of %s rows are the customers', %s", f"{hits:,}", f"{rows:,}", folder)
            _save(self._task, self._certificate)

    def _search_texts(self) -> None:
        for place in self._task.places("text"):
            if storage.exists(place.path):
                found = ids_in(place.path, self._request.customers)
                self._certificate.texts.append({"path": place.path, "ids_found": found})
                if found:
                    log.warning("%s: holds %d of the ids, and is not changed; remove it", place.path, found)
                    self._certificate.not_touched.append(f"{place.path}: holds {found} of the ids; remove it")

    def _require_gone(self) -> None:
        """Search all tables again. Raises BlitzError where rows of the customers are left."""
        found, _ = self._tables.find(self._task.places("table"))
        left = {table.place.path: table.hit_rows for table in found}
        for entry in self._certificate.tables:
            entry["rows_left"] = left.get(entry["path"], 0)
        paths = [path for path, rows in left.items() if rows]
        if paths:
            self._certificate.status = "incomplete"
            self._certificate.write()
            raise BlitzError(
                f"{paths[0]}{f' and {len(paths) - 1} more' * (len(paths) > 1)}: {sum(left.values()):,} rows of the "
                "customers are there again; a run that began before must have published them. Run again when no run is "
                "active"
            )
        log.info("searched again: no row of the customers is left")

    def _paths(self) -> list[str]:
        return [*(place.path for place in self._task.places("table", "quarantine", "copies")), *self._task.lists]
