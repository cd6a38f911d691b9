"""An explanation as text: what ``explain`` returns, in sections."""

from collections.abc import Sequence

from blitz.raw.channels import CHANNELS
from blitz.segmentation.domains import Value, shown
from blitz.segmentation.rules import READER_FIELDS, About
from blitz.text import JsonObject, table

MAX_PULLS = 8
FLAGS_PER_LINE = 3


def format_explanation(body: JsonObject) -> str:
    """Return the explanation as text; features that are 0 and weak pulls are counted, not listed."""
    parts = [f"Customer {body['customer']}", *_orders(body), *_scores(body["scores"]), _counts(body["counts"])]
    if body["dropped"]:
        parts.append(f"No segment: the segmentation drops this customer ({body['dropped']}).")
    else:
        parts += [*_flags(body), _rules(body)]
    parts.append(_segment(body["segment"]))
    parts += [text for plan in body["plans"] for text in _plan(plan)]
    if not body["plans"] and body["segment"]["published"]:
        parts.append("No micro-segment: no enabled plan item has this segment.")
    return "\n\n".join(parts)


def _orders(body: JsonObject) -> list[str]:
    if body["orders"] is None:
        return []
    window = body["window"]
    texts = [f"Orders from {window['from']} until {window['to']}, local time {window['timezone']}"]
    for name in CHANNELS:
        orders = body["orders"][name]
        if not orders:
            texts.append(f"  {name}: none")
            continue
        rows = [
            (
                each["at"],
                each["daypart"] or "-",
                "yes" if each["weekend"] else "no",
                each["total_price"],
                each["item_count"],
                ", ".join(each["base_products"] or []) or "-",
            )
            for each in orders
        ]
        header = (f"{name}: {len(orders)}", "Part of day", "Weekend", "Price", "Items", "Base products")
        texts.append(table(header, rows))
    return texts


def _scores(scores: JsonObject | None) -> list[str]:
    if scores is None:
        return []
    return [table(("Scores", "Value"), [(name, "-" if value is None else value) for name, value in scores.items()])]


def _counts(counts: JsonObject) -> str:
    shown = {name: value for name, value in counts.items() if value not in (0, None)}
    rows = list(shown.items())
    rest = len(counts) - len(shown)
    return table(("Features", "Value"), rows) + (f"\n  and {rest} that are 0 or null" if rest else "")


def _flags(body: JsonObject) -> list[str]:
    raised = [name for name, value in body["flags"].items() if value]
    lines = [", ".join(raised[at : at + FLAGS_PER_LINE]) for at in range(0, len(raised), FLAGS_PER_LINE)]
    variables = ", ".join(f"{name} {_number(value)}" for name, value in body["rule_variables"].items())
    return [
        f"Flags that are 1 ({len(raised)} of {len(body['flags'])})\n  " + ("\n  ".join(lines) or "none"),
        f"Band {body['band']}\n  {variables}",
    ]


def _rules(body: JsonObject) -> str:
    rows = [
        (each["segment"], "matches" if each["matched"] else "fails", each["rule"] if each["matched"] else
         " and ".join(each["failed"]))
        for each in body["rules"]
    ]  # fmt: skip
    return table(("Rule", "", "Because"), rows)


def _segment(segment: JsonObject) -> str:
    about = About(*[segment.get(field) for field in READER_FIELDS]).in_words()
    if segment["agrees"]:
        return f"Segment {segment['computed']}, as published" + (f"\n  {about}" if about else "")
    return f"Segment: the rules give {segment['computed'] or 'none'}, published is {segment['published'] or 'none'}" + (
        "" if segment["computed"] == segment["published"] else "; run the segments job again"
    )


def _plan(plan: JsonObject) -> list[str]:
    published = f"published is {plan['published'] or 'none'}; run the microsegments job again"
    agreement = "as published" if plan["agrees"] else published
    head = f"Micro-segment of plan {plan['plan']} ({plan['model']}): {plan['microcluster']}, {agreement}"
    texts = [head, _caps(plan)]
    rows = [
        (at, distance, "chosen" if at == plan["microcluster"] else "runner-up" if at == plan["runner_up"] else "")
        for at, distance in plan["distances"].items()
    ]
    texts.append(table(("Centroid", "Distance", ""), rows))
    if plan["pulls"]:
        texts.append(_pulls(plan))
    return texts


def _caps(plan: JsonObject) -> str:
    if not plan["is_capped"]:
        return "  This plan item caps no features."
    if not plan["capped"]:
        return "  Capped: none, all features of this customer are within the percentiles."
    rows: Sequence[Sequence[object]] = [
        (each["feature"], float(each["value"]), each["capped_to"], each["by"], each["low"], each["high"])
        for each in plan["capped"]
    ]
    return table(("Capped", "Value", "To", "By", "Low", "High"), rows)


def _pulls(plan: JsonObject) -> str:
    shown = [each for each in plan["pulls"] if each["pull"] > 0][:MAX_PULLS]
    against = sum(each["pull"] for each in plan["pulls"] if each["pull"] < 0)
    total = sum(each["pull"] for each in plan["pulls"])
    rows = [
        (each["feature"], each["value"], each["scaled"], each["to_chosen"], each["to_runner_up"], each["pull"])
        for each in shown
    ]
    header = (f"Pulls to {plan['microcluster']}", "Value", "Scaled", "To chosen²", "To runner-up²", "Pull")
    return table(header, rows) + (
        f"\n  all features: {total:.2f} to {plan['microcluster']}, of which {against:.2f} to {plan['runner_up']}"
    )


def _number(value: Value | None) -> str:
    return "null" if value is None else shown(value)
