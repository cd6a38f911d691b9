"""Erase customers from everything that the pipeline wrote, keep them out of later runs, and write a certificate.

Outputs of every run date, scores, quarantines, copies of refreshes, exported lists, and old versions of Delta tables
are searched; a table is replaced at once, and files without rows of the customers stay. Interrupted, the job can be run
again. docs/privacy.md says what it does not reach.
"""

import argparse
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import date
from functools import partial

from pyspark.sql import SparkSession

from blitz import storage
from blitz.cli.arguments import add_config_arguments, apply_runtime_settings, read_config
from blitz.cli.command import Command
from blitz.cli.sessions import session_for
from blitz.config import Config
from blitz.config.paths import inputs_at, tables_of
from blitz.config.values import AS_OF, parse_date
from blitz.erase.catalogs import names_like
from blitz.erase.certificate import Certificate
from blitz.erase.places import all_places, folders_of
from blitz.erase.request import read_request
from blitz.erase.run import Task, erase
from blitz.errors import ConfigError
from blitz.pipelines.context import new_run_id
from blitz.text import table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_config_arguments(parser)
    parser.add_argument("--customers", metavar="FILE", help="the customers to erase: one id (algonomy_id) a line")
    text = f"folders of exported lists, CSV or Parquet with a column of ids; {AS_OF} means every run date"
    parser.add_argument("--also", nargs="+", default=[], action="extend", metavar="FOLDER", help=text)
    text = "remove outputs of run dates before this day, and quarantines and exports (--also) last written before it"
    parser.add_argument("--older-than", metavar="DATE", help=text)
    text = "the certificate; by default erasure-RUN.json next to the suppression list"
    parser.add_argument("--certificate", metavar="PATH", help=text)
    text = "say what would be read, rewritten and removed, and how many rows; write nothing"
    parser.add_argument("--dry-run", action="store_true", help=text)


def run(arguments: argparse.Namespace) -> None:
    """Do it, and print the tables and the certificate's path."""
    config = apply_runtime_settings(read_config(arguments))
    older_than = _day(arguments.older_than)
    if not arguments.customers and older_than is None:
        raise ConfigError(["nothing to do: give --customers FILE, --older-than DATE, or both"])
    request = read_request(arguments.customers) if arguments.customers else None
    lists = _lists(config, arguments.also)
    task = Task(config, (), new_run_id(), request, lists, older_than, arguments.dry_run)
    certificate = _certificate(task, arguments.certificate)
    with _session(task) as spark:
        names = partial(names_like, spark) if spark else None
        erase(replace(task, dated=all_places(partial(read_config, arguments), names)), certificate, spark)
    print(format_erasure(certificate, task.dry_run))


def _session(task: Task) -> AbstractContextManager[SparkSession | None]:
    """A session, where the task needs one."""
    if task.request is None and not tables_of(task.config):
        return nullcontext()
    return session_for("erase", task.config)


def _certificate(task: Task, path: str | None) -> Certificate:
    """An empty certificate. Raises ConfigError where neither an argument nor the config says where it goes."""
    hashes = sorted(task.request.suppression.hashes) if task.request else []
    if task.request is not None:
        listed = task.suppression_path
    else:
        listed = task.config.run.suppression_path or ""
    if not path and not listed:
        raise ConfigError(["--certificate: give a path, or set run.suppression_path, next to which it would be"])
    folder, slash, _ = listed.rpartition("/")
    place = path or f"{folder}{slash}erasure-{task.run_id}.json"
    return Certificate(place, task.run_id, task.config.config_hash, hashes)


def _day(text: str | None) -> date | None:
    try:
        return parse_date(text) if text else None
    except ValueError as error:
        raise ConfigError([f"--older-than: {error}"]) from error


def _lists(config: Config, given: Sequence[str]) -> list[str]:
    """The folders of ``--also``, those of all run dates. Raises ConfigError for one that is missing or a raw input."""
    problems, found = [], []
    for folder in given:
        folders = folders_of(folder) if AS_OF in folder else [folder]
        problems += [f"--also: {each}: no such folder" for each in folders if not storage.exists(each)]
        problems += [
            f"--also: {folder}: overlaps the input {key}, which is never written" for key in inputs_at(config, folder)
        ]
        found += folders
    if problems:
        raise ConfigError(problems)
    return list(dict.fromkeys(found))


def format_erasure(certificate: Certificate, dry_run: bool) -> str:
    """The certificate as text for a terminal."""
    parts = []
    rows = [
        (
            each["name"],
            each["files_read"],
            each.get("files_rewritten", 0),
            each["rows_read"],
            each["rows_removed"],
            each["path"],
        )
        for each in (*certificate.tables, *certificate.quarantines, *certificate.lists)
    ]
    verb = "of theirs" if dry_run else "removed"
    if rows:
        parts.append(table(("Searched", "Files", "Rewritten", "Rows", f"Rows {verb}", "Where"), rows))
    if certificate.removed:
        gone = [(each["name"], each["path"]) for each in certificate.removed]
        parts.append(table(("Would be removed" if dry_run else "Removed", "Where"), gone))
    if certificate.expired:
        old = [(each["name"], each["day"], each["files"], each["path"]) for each in certificate.expired]
        parts.append(table(("Past its retention", "Of", "Files", "Where"), old))
    if certificate.customers:
        parts.append(f"Customers: {len(certificate.customers):,}, found in tables: {certificate.customers_found:,}")
        parts.append("Not touched:\n" + "\n".join(f"  - {each}" for each in certificate.not_touched))
    parts.append("Nothing was written." if dry_run else f"Certificate: {certificate.path}")
    return "\n\n".join(parts)


command = Command("erase", __doc__, add_arguments, run)
