"""Where the project writes ids, for each run date: one table, from which everything else is computed."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Literal

from blitz import storage
from blitz.catalog.names import TableName, table_name
from blitz.config import Config
from blitz.config.paths import OUTPUTS
from blitz.config.values import AS_OF, dig, parse_date, parsed
from blitz.errors import ConfigError
from blitz.pipelines.context import RunContext
from blitz.pipelines.history import RUN_DATE
from blitz.pipelines.orders import quarantine_path
from blitz.publish.catalog import STAGING
from blitz.raw.channels import CHANNELS, USER_CHANNEL
from blitz.refresh.state import state_folder
from blitz.report.runs import numbers_path, report_path
from blitz.run.backfill import scratch_path
from blitz.run.manifest import manifest_files
from blitz.run.steps import STEPS

Kind = Literal["table", "quarantine", "copies", "text"]
ConfigAsOf = Callable[[str | None], Config]  # the config, as of a date or as it is
NamesLike = Callable[[TableName], Sequence[str]]  # the names of schema.table in the catalog of a table

_NO_RUN_DATE = "2199-12-31"  # a path that has this date is one per run date
_STAMP = _NO_RUN_DATE.replace("-", "")
_ANY_STAMP = "[0-9]" * len(_STAMP)
_PATHS = (*OUTPUTS, "segmentation.input_path", "segmentation.scores_path")


@dataclass(frozen=True)
class Place:
    """A place that may hold ids: its name, path and kind; of a quarantine also the channel of its rows; of a table
    whose files each have one day of a column (the history), that column.

    A ``table`` has the column ``algonomy_id``, a ``quarantine`` raw values, ``copies`` are what a refresh or a backfill
    keeps and computes again, ``text`` is a manifest, report or log, which should hold none.
    """

    name: str
    path: str
    kind: Kind
    channel: str | None = None
    day_column: str | None = None


@dataclass(frozen=True)
class DatedPlaces:
    """The places of one run date; ``dated`` are those that no other run date has."""

    run_date: date | None
    places: tuple[Place, ...]
    dated: tuple[Place, ...]


def all_places(config_as_of: ConfigAsOf, names_like: NamesLike | None = None) -> list[DatedPlaces]:
    """The places of the config and of every run date of which there are files or tables, each place once.

    ``names_like`` looks into catalogs; without it, tables of other run dates are not found.
    """
    base, undated = config_as_of(None), config_as_of(_NO_RUN_DATE)
    shared = {place.path for place in places_of(undated)}
    found, seen = [], set[str]()
    days = sorted(_dates_of(undated, names_like) - {_run_date(base)})
    for run_date, config in [(_run_date(base), base), *((day, config_as_of(day.isoformat())) for day in days)]:
        places = places_of(config)
        new = tuple(place for place in places if place.path not in seen)
        seen |= {place.path for place in new}
        found.append(DatedPlaces(run_date, new, tuple(place for place in places if place.path not in shared)))
    return found


def _run_date(config: Config) -> date | None:
    body = config.feature_pipeline_body
    return body.common.current_run_date if body else None


def _dates_of(undated: Config, names_like: NamesLike | None) -> set[date]:
    """The run dates of which there are files or tables: outputs, what belongs to them, or what a killed run left."""
    tree, found = undated.model_dump(mode="json", by_alias=True), set[date]()
    for key in _PATHS:
        path = dig(tree, key)
        if not isinstance(path, str) or _STAMP not in path:
            continue
        if storage.is_table(path):
            found |= set(_dates_of_tables(path, names_like)) if names_like else set()
        else:
            parent, _, name = path.rstrip("/").rpartition("/")
            nearby = (f".{name}.blitz-*", "_refresh", ".blitz-backfill-*", "quarantine")
            for pattern in (path.rstrip("/"), *(f"{parent}/{each}" for each in nearby if _STAMP in parent + each)):
                found |= set(_dates_below(pattern))
    return found


def _dates_of_tables(path: str, names_like: NamesLike) -> Iterator[date]:
    """The dates in the names of the tables, and of those that killed runs left, that a name with the stamp of no date
    has for other dates."""
    name = table_name(path)
    if _STAMP in (name.catalog or ""):
        return
    stem = re.escape(f"{name.schema}.{name.table}")
    named = re.compile(
        stem.replace(_STAMP, r"(\d{8})", 1).replace(_STAMP, r"\d{8}") + f"(?:{STAGING}.*)?", re.IGNORECASE
    )
    for each in names_like(name):
        yield from _date_of(named.fullmatch(each))


def _date_of(match: re.Match[str] | None) -> Iterator[date]:
    digits = match[1] if match else ""
    day = parsed(parse_date, f"{digits[:4]}-{digits[4:6]}-{digits[6:]}")
    if day:
        yield day


def _dates_below(pattern: str) -> Iterator[date]:
    """The dates in the paths of the files that a path with the stamp of no date has for other dates."""
    parts = pattern.split("/")
    first = next(at for at, part in enumerate(parts) if _STAMP in part)
    tail = re.escape("/".join(parts[first:])).replace(r"\*", "[^/]*")
    named = re.compile("(?:^|/)" + tail.replace(_STAMP, r"(\d{8})", 1).replace(_STAMP, r"\d{8}") + "(?:/|$)")
    for info in storage.list_files(pattern.replace(_STAMP, _ANY_STAMP)):
        yield from _date_of(named.search(info.path))


def folders_of(template: str) -> list[str]:
    """The folders of every run date that a path with ``{as_of}`` names."""
    days = sorted(set(_dates_below(template.rstrip("/").replace(AS_OF, _STAMP))))
    return [template.replace(AS_OF, f"{day:%Y%m%d}") for day in days]


def places_of(config: Config) -> list[Place]:
    """The places of one run date, in the order in which they are erased."""
    return [*_quarantines(config), *_copies(config), *_tables(config), *_texts(config)]


def _tables(config: Config) -> list[Place]:
    found = {}
    for step in STEPS.values():
        with suppress(ConfigError):  # a config with one of the two bodies has only the steps of that body
            found[step.writes(config)] = step.output
    if body := config.segmentation_body:
        found.setdefault(body.input_path, "customer features")
        if body.scores_path:
            found.setdefault(body.scores_path, "scores")
    tables = [Place(name, path, "table") for path, name in found.items()]
    history = config.run.history_path
    return [*tables, Place("history", history, "table", day_column=RUN_DATE)] if history else tables


def _quarantines(config: Config) -> list[Place]:
    if config.feature_pipeline_body is None:
        return []
    context = RunContext.of(config)
    return [
        Place(f"{channel} quarantine", quarantine_path(context, _output(config, channel), name), "quarantine", channel)
        for channel in CHANNELS
        for name in (channel, f"{channel}_new_files")
    ]


def _copies(config: Config) -> list[Place]:
    if config.feature_pipeline_body is None:
        return []
    users = _output(config, USER_CHANNEL.name)
    outputs = {channel: _output(config, channel) for channel in CHANNELS}
    folders = [state_folder(path, channel) for channel, path in outputs.items() if not storage.is_table(path)]
    if storage.is_table(users):  # no refresh and no backfill writes next to a table
        return [Place("copies of a refresh", folder, "copies") for folder in folders]
    folders += [state_folder(users, name) for name in ("customer_mapping", "users")]
    found = [Place("copies of a refresh", folder, "copies") for folder in folders]
    return found + [Place("tables of a killed backfill", path, "copies") for path in _scratch_folders(config)]


def _scratch_folders(config: Config) -> Sequence[str]:
    parent, _, pattern = scratch_path(config, "*").rpartition("/")
    inside = re.compile("(?:^|/)(" + re.escape(pattern).replace(r"\*", "[^/]*") + ")/")
    names = {match[1] for info in storage.list_files(f"{parent}/{pattern}") if (match := inside.search(info.path))}
    return [f"{parent}/{name}" for name in sorted(names)]


def _texts(config: Config) -> list[Place]:
    paths = [info.path for info in manifest_files(config)]
    with suppress(ConfigError):
        page = report_path(config)
        paths += [page, numbers_path(page)]
    paths += [config.run.debug_log] if config.run.debug_log else []
    return [Place("manifest, report or log", path, "text") for path in dict.fromkeys(paths)]


def _output(config: Config, channel: str) -> str:
    return config.feature_pipeline.channel(channel).output_path
