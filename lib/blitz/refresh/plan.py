"""What a refresh would do with the order features of a channel, decided on the driver: no engine, nothing written.

The row of an order depends on the raw rows with its key, on the customer that the mapping names, on whether this
customer is an own-app user, and on settings and small mappings; never on another order. So a refresh computes the
orders for which any of these can differ from the last refresh, and keeps the rows of all others:

- orders in new files of orders, lines or order queries;
- orders named by rows of the customer mapping that were added or removed;
- orders of customers who became own-app users or ceased to be (Swiggy and in-store);
- orders in the part of the window that opened since;
- with ``since``: all orders of that local day or later, raw or published.

Orders that left the window are dropped by their time. A changed setting, small mapping or version of blitz, and files
that were rewritten or removed (without ``since``) can concern any order: then all orders are computed.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import blitz
from blitz.config import FeaturePipeline
from blitz.features.orders import OrderSettings
from blitz.publish.months import month_of
from blitz.raw.channels import KEY_FORM
from blitz.raw.mappings import Mappings
from blitz.raw.suppression import Suppression
from blitz.raw.tables import RawTable
from blitz.refresh.mapping import MappingPlan
from blitz.refresh.state import ChannelState, OutputFile, Window
from blitz.storage import FileInfo
from blitz.text import table

SMALL_FILE = 16 * 1024 * 1024
MAX_SMALL_FILES = 8  # of one month; more are merged
MAX_LISTED_FILES = 20
OTHER_COLUMNS = "the columns of the output or their types changed"


@dataclass(frozen=True)
class FileChanges:
    """The raw files by table (``orders``, ``lines``, ``queries``) that changed since the last refresh."""

    new: Mapping[str, frozenset[str]]
    rewritten: Mapping[str, frozenset[str]]
    removed: Mapping[str, frozenset[str]]

    def unread(self, name: str) -> frozenset[str]:
        """Return the files of a table with content that no refresh has read: new and rewritten."""
        return self.new[name] | self.rewritten[name]

    def by_kind(self) -> dict[str, Mapping[str, frozenset[str]]]:
        """Return the files by table for each kind of change: ``new``, ``rewritten``, ``removed``."""
        return {"new": self.new, "rewritten": self.rewritten, "removed": self.removed}


@dataclass(frozen=True)
class ChannelInputs:
    """What the order features of a channel depend on now.

    Args:
        fingerprints: a hash for each thing that every order depends on (``fingerprints``).
        window: the order window.
        tables: the raw tables by name: ``orders``, ``lines``, and ``queries`` where the channel has any.
        output: the files of the published output.
        mapping: the plan of the customer mapping's copy.
        users_source: the files of the own-app output, which has the own-app users; None where own app is computed
            earlier in the same run. Not used for own app itself.
    """

    fingerprints: Mapping[str, str]
    window: Window
    tables: Mapping[str, RawTable]
    output: tuple[OutputFile, ...]
    mapping: MappingPlan
    users_source: tuple[OutputFile, ...] | None


@dataclass(frozen=True)
class Full:
    """All orders are computed, for this reason."""

    reason: str


@dataclass(frozen=True)
class Unchanged:
    """Nothing changed that an order depends on: the output stays as it is."""


@dataclass(frozen=True)
class Changed:
    """Only orders that can have changed are computed.

    Args:
        before: the state that the last refresh left.
        window: the order window now.
        files: the raw files that changed.
        mapping: whether the customer mapping changed.
        users: whether the own-app users can have changed.
        since: the local day from which all orders are computed; None: no such day.
    """

    before: ChannelState
    window: Window
    files: FileChanges
    mapping: bool
    users: bool
    since: date | None = None

    @property
    def opened(self) -> Window | None:
        """The part of the window that the last refresh did not cover; None where there is none."""
        return Window(self.before.window.end, self.window.end) if self.window.end > self.before.window.end else None

    @property
    def drops_orders(self) -> bool:
        """Whether published orders may have left the window at its start."""
        return self.window.start > self.before.window.start

    def causes(self) -> list[str]:
        """Return what changed, one phrase each; empty where nothing did."""
        found = [
            f"{len(paths):,} {kind} {'file' if len(paths) == 1 else 'files'} of {name}"
            for kind, tables in self.files.by_kind().items()
            for name, paths in tables.items()
            if paths
        ]
        found += ["the customer mapping changed"] if self.mapping else []
        found += ["the own-app users may have changed"] if self.users else []
        found += [f"orders of {self.opened.start} and later entered the window"] if self.opened else []
        found += [f"orders before {self.window.start} left the window"] if self.drops_orders else []
        found += [f"orders of {self.since} and later can differ (--since)"] if self.since else []
        return found


Plan = Full | Unchanged | Changed


def plan_channel(before: ChannelState | None, now: ChannelInputs, since: date | None = None) -> Plan:
    """Return what a refresh has to compute.

    Args:
        before: the state that the last refresh left; None where there is none.
        now: what the order features depend on now.
        since: orders before this local day did not change, even where raw files were rewritten or removed.
    """
    if before is None:
        return Full("there is no state of an earlier refresh")
    files = file_changes(before.inputs, now.tables)
    reason = full_recompute_reason(before, now, files, since)
    if reason:
        return Full(reason)
    users = before.users is not None and before.users.source != now.users_source
    plan = Changed(before, now.window, files, now.mapping.differs_from(before.mapping), users, since)
    return plan if plan.causes() else Unchanged()


def file_changes(before: Mapping[str, Sequence[FileInfo]], tables: Mapping[str, RawTable]) -> FileChanges:
    """Return how raw files, by table, differ from those of the last refresh in path, size or modification time."""
    new, rewritten, removed = {}, {}, {}
    for name, raw in tables.items():
        then = {info.path: info for info in before.get(name, ())}
        now = {info.path: info for info in raw.files}
        new[name] = frozenset(now.keys() - then.keys())
        removed[name] = frozenset(then.keys() - now.keys())
        rewritten[name] = frozenset(path for path in now.keys() & then.keys() if now[path] != then[path])
    return FileChanges(new, rewritten, removed)


def full_recompute_reason(
    before: ChannelState, now: ChannelInputs, files: FileChanges, since: date | None
) -> str | None:
    """Return why all orders must be computed; None where the changed orders are enough."""
    if sorted(before.output) != sorted(now.output):
        return "the output is not the one that the last refresh published"
    changed = [what for what, value in now.fingerprints.items() if before.fingerprints.get(what) != value]
    if changed:
        return f"{', '.join(changed)} changed"
    if now.window.start < before.window.start or now.window.end < before.window.end:
        return f"the window moved back, from {_days(before.window)} to {_days(now.window)}"
    if not before.mapping.is_intact() or not (before.users is None or before.users.is_intact()):
        return "files that the last refresh kept next to its state are missing"
    lost = sorted(path for tables in (files.rewritten, files.removed) for paths in tables.values() for path in paths)
    if lost and since is None:
        more = f" and {len(lost) - 1:,} more were" if len(lost) > 1 else " was"
        return f"{lost[0]}{more} rewritten or removed (--since DATE names the first local day whose orders can differ)"
    return None


def fingerprints(
    config: FeaturePipeline,
    settings: OrderSettings,
    channel: str,
    mappings: Mappings,
    suppression: Suppression | None = None,
) -> dict[str, str]:
    """Return a hash for each thing that every order of a channel depends on, by its name in a message."""
    has_query = config.channel(channel).queries_path is not None
    own = [settings.timezone, settings.price_bins, settings.bucket_labels, settings.excluded_stores, has_query]
    own.append(config.common.business_day_starts)
    frames = {
        "the store files": [mappings.stores, mappings.store_codes],
        "the category file": [mappings.categories],
        "the choice file": [mappings.choices],
    }
    texts = {what: "".join(frame.to_csv(index=False) for frame in group) for what, group in frames.items()}
    texts |= {"the settings": json.dumps(own), "the version of blitz": f"{blitz.__version__} {KEY_FORM}"}
    texts |= {"the suppression list": suppression.digest if suppression else ""}
    return {what: hashlib.sha256(text.encode()).hexdigest() for what, text in texts.items()}


@dataclass(frozen=True)
class OutputSplit:
    """The names of the output's files: those that stay, those of which rows stay, and those whose orders left."""

    keep: frozenset[str]
    rewrite: frozenset[str]
    drop: frozenset[str]


def split_output(output: Collection[OutputFile], with_keys: Collection[str], start: date) -> OutputSplit:
    """Return what a refresh does with each file of an output.

    Rewritten are files with changed orders (``with_keys``), files of the window's first month where the window begins
    inside it (``start``), and small files of months that have too many of them. Files of earlier months are dropped.
    """
    first_month = f"{start:%Y-%m}"
    per_month = Counter(month_of(each.name) for each in output if each.size < SMALL_FILE)

    def is_rewritten(each: OutputFile) -> bool:
        month = month_of(each.name)
        is_cut = month == first_month and start.day > 1
        is_merged = each.size < SMALL_FILE and per_month[month] > MAX_SMALL_FILES
        return is_cut or is_merged or each.name in with_keys

    in_window = [each for each in output if month_of(each.name) >= first_month]
    rewrite = frozenset(each.name for each in in_window if is_rewritten(each))
    keep = frozenset(each.name for each in in_window) - rewrite
    return OutputSplit(keep, rewrite, frozenset(each.name for each in output) - keep - rewrite)


def describe(plans: Mapping[str, Plan]) -> str:
    """Return the plans by channel as text for a terminal: what is computed and why, and the raw files that changed."""
    parts = [table(("Refresh of", "Computes", "Because"), [(name, *_line(plan)) for name, plan in plans.items()])]
    rows: list[tuple[str, str, str]] = []
    for name, plan in plans.items():
        if isinstance(plan, Changed):
            rows += _file_rows(name, plan.files)
    if rows:
        parts.append(table(("Raw file of", "Is", "Where"), rows))
    return "\n\n".join(parts)


def _line(plan: Plan) -> tuple[str, str]:
    match plan:
        case Full(reason):
            return "all orders", reason
        case Unchanged():
            return "nothing", "nothing changed"
        case Changed():
            return "changed orders", "; ".join(plan.causes())


def _file_rows(channel: str, files: FileChanges) -> list[tuple[str, str, str]]:
    rows = [
        (f"{channel} {name}", kind, path)
        for kind, tables in files.by_kind().items()
        for name, paths in tables.items()
        for path in sorted(paths)
    ]
    more = len(rows) - MAX_LISTED_FILES
    return rows[:MAX_LISTED_FILES] + ([(channel, "", f"and {more:,} more")] if more > 0 else [])


def _days(window: Window) -> str:
    return f"{window.start} - {window.end}"
