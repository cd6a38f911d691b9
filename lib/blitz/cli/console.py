"""What a person sees of a run: the plan of a dry run, and the tables at the end."""

from collections.abc import Sequence

from blitz.config import Config
from blitz.config.paths import tables_of
from blitz.pipelines import gates
from blitz.pipelines.context import StepResult
from blitz.raw.tables import RawTable
from blitz.run.steps import Preflight, output_path
from blitz.segmentation.score_rules import require_rfm_proven
from blitz.storage import is_table
from blitz.text import table


def summary(results: Sequence[StepResult]) -> str:
    """The end of a run: rows that fell away, segments per band, cluster sizes per plan item, and where things are."""
    parts = [_funnel(results)]
    for result in results:
        for band, rows in result.details.get("bands", {}).items():
            header = (f"Segments, band {band}", "Customers", "Orders", "Average")
            body: list[Sequence[object]] = [
                (name, n, orders, round(orders / n, 2) if n else None) for name, n, orders in rows
            ]
            total, orders = sum(row[1] for row in rows), sum(row[2] for row in rows)
            body.append(("all", total, orders, round(orders / total, 2) if total else None))
            parts.append(table(header, body))
        cuts = result.details.get("rfm_cuts", {})
        if any(cuts.values()):
            places = ("first", "second", "third", "fourth")
            parts.append(
                table(
                    ("Cut points of", *places), [(name, *map(float, points)) for name, points in cuts.items() if points]
                )
            )
        clusters = result.details.get("clusters")
        if clusters:
            body = [
                (name, sum(sizes), "  ".join(f"{at}: {size:,}" for at, size in enumerate(sizes)))
                for name, sizes in clusters.items()
            ]
            parts.append(table(("Micro-segments of", "Customers", "Clusters"), body))
    parts.append(
        table(
            ("Output", "Rows", "Seconds", "Where"),
            [(r.step, r.output.rows, r.seconds, r.output.path) for r in results],
        )
    )
    quarantined = [(r.step, r.quarantine) for r in results if r.quarantine]
    if quarantined:
        parts.append(table(("Rejected rows of", "Where"), quarantined))
    return "\n\n".join(parts)


def _funnel(results: Sequence[StepResult]) -> str:
    rows = []
    for result in results:
        for account in result.accounts:
            lost = ", ".join(f"{reason} {count:,}" for reason, count in account.dropped.items() if count)
            rows.append((f"{result.step} {account.table}", account.read, account.kept, lost or "-"))
    return table(("Rows of", "Read", "Kept", "Dropped"), rows) if rows else ""


def plan(config: Config, ready: Preflight) -> str:
    """What a run would do: dates, files, rules, models and outputs."""
    parts: list[str] = []
    if ready.inputs:
        common, customer = config.feature_pipeline.common, config.feature_pipeline.customer
        parts.append(
            f"Run date {common.current_run_date}, orders of the {common.months_offset} months before it, "
            f"customers from {customer.cutoff_date}, local time {common.timezone}."
        )
        inputs = ready.inputs
        shared = (inputs.customer_mapping, inputs.store_codes, inputs.stores, inputs.categories, inputs.choices)
        per_channel = [
            (f"{name} {raw.spec.name}", raw)
            for kind in (inputs.orders, inputs.lines, inputs.queries)
            for name, raw in kind.items()
        ]
        rows = [
            (what, *_size_of(raw), raw.path) for what, raw in [*per_channel, *((raw.spec.name, raw) for raw in shared)]
        ]
        parts.append(table(("Reads", "Files", "MB", "Where"), rows))
        if ready.menu:
            kinds = {kind: len(ready.menu.columns(kind)) for kind in ("dri", "base")}
            parts.append(f"Menu: {kinds['dri']} driver categories, {kinds['base']} base categories.")
    if ready.proof:
        parts.append(f"Rules: {ready.proof.summary()}")
    if ready.rfm_rules:
        parts.append(f"RFM rules: {require_rfm_proven(ready.rfm_rules).summary()}")
    if ready.payloads:
        rows2 = [
            (key, len(payload.features), int(payload.kmeans.n_clusters), payload.sha256[:12])
            for key, payload in ready.payloads.items()
        ]
        parts.append(table(("Model", "Features", "Clusters", "SHA-256"), rows2))
    if ready.inputs:
        parts.append(table(("Gate", "Stops when"), gates.described(config.run.gates)))
        if not ready.before:
            parts.append("No previous manifest: the gates that compare with it are skipped.")
    parts.append(table(("Step", "Writes"), [(step, output_path(config, step)) for step in ready.steps]))
    if tables := tables_of(config):
        names = ", ".join(dict.fromkeys(path for _, path in tables))
        parts.append(
            f"Not checked, since that takes a Spark session: that these tables are there and have their columns, and "
            f"that those to be written can be replaced in one commit: {names}."
        )
    return "\n\n".join(parts)


def _size_of(raw: RawTable) -> tuple[int | None, float | None]:
    """Number and megabytes of the files; None of a table of a catalog."""
    if is_table(raw.path):
        return None, None
    return len(raw.files), sum(info.size for info in raw.files) / 1e6
