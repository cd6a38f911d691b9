"""The numbers as one HTML page: every value escaped; styles, script and charts inline."""

import base64
import hashlib
from collections.abc import Mapping
from datetime import date, datetime
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from blitz.accounts import Reason
from blitz.report import charts
from blitz.report.numbers import CHANNEL_NAMES, WEEKDAYS

MINUS, NONE = "\u2212", "\u2013"
REASONS: dict[str, str] = {
    Reason.BAD_RECORD: "cannot be read",
    Reason.BAD_TIMESTAMP: "no usable time",
    Reason.OUTSIDE_WINDOW: "outside the window",
    Reason.EXCLUDED_STORE: "excluded store",
    Reason.DUPLICATE: "repeated order",
    Reason.NO_CUSTOMER: "no known customer",
    Reason.ERASED: "erased customer",
    Reason.NOT_OWNAPP_USER: "customer without own-app order",
    Reason.NO_ORDER: "line of no kept order",
    Reason.PROMO: "promotion",
    Reason.CHOICE: "choice of a meal",
    Reason.UNMAPPED: "no category",
    Reason.EXCLUDED: "excluded category",
    Reason.NO_CUSTOMER_FEATURES: "customer not in the customer features",
    Reason.OVER_100_ORDERS: "over 100 own-app orders",
    Reason.NO_CATEGORY: "no driver category",
}
FIGURES = (  # key, label, format
    ("orders", "Own-app orders", "decimal"),
    ("aov", "Average order value", "money"),
    ("discount", "Average discount", "percent"),
    ("recency", "Days since last order", "integer"),
    ("products", "Base products", "decimal"),
    ("channels", "Channels", "decimal"),
)


def render(numbers: Mapping[str, Any]) -> str:
    """Return the HTML page of a report's numbers (see ``make.make_report``)."""
    script = _template("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    raw = [each for each in numbers["funnel"] if each["channel"] and each["table"] in ("orders", "lines")]
    changed = numbers["changes"]
    pictures = {
        "segments": charts.segments(numbers["bands"]),
        "funnel": charts.funnel(raw),
        "prices": charts.prices(numbers["prices"]),
        "changes": charts.changes(changed["segments"]) if changed else None,
    }
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            numbers,
            charts=pictures,
            names={each["name"]: each["about"]["name"] for band in numbers["bands"] for each in band["segments"]},
            raw=raw,
            style=Markup(_template("report.css")),  # from the package, not data
            script=Markup(script),
            script_hash=digest,
        )
    )


def _template(name: str) -> str:
    return resources.files("blitz.report").joinpath("templates").joinpath(name).read_text(encoding="utf-8")


def _environment() -> Environment:
    found = Environment(
        loader=FunctionLoader(_template),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    found.filters |= {
        "integer": integer,
        "decimal": decimal,
        "percent": percent,
        "money": money,
        "signed": signed,
        "day": day,
        "megabytes": lambda value: f"{value / 1e6:,.1f}",
        "reason": lambda name: REASONS.get(name, name.replace("_", " ")),
        "heat": heat,
    }
    found.globals |= {"WEEKDAYS": WEEKDAYS, "FIGURES": FIGURES, "CHANNEL_NAMES": CHANNEL_NAMES, "show": show}
    return found


def integer(value: float | None) -> str:
    """Format a number without decimals; an en dash for None."""
    return NONE if value is None else f"{value:,.0f}".replace("-", MINUS)


def decimal(value: float | None) -> str:
    """Format a number with two decimals."""
    return NONE if value is None else f"{value:,.2f}".replace("-", MINUS)


def percent(value: float | None) -> str:
    """Format a share as a percentage with one decimal."""
    return NONE if value is None else f"{value:.1%}".replace("-", MINUS)


def money(value: float | None) -> str:
    """Format rupees without paise."""
    return NONE if value is None else f"₹{value:,.0f}".replace("-", MINUS)


def show(value: float | None, kind: str) -> str:
    """Format a number; ``kind`` is a format of FIGURES."""
    return {"integer": integer, "decimal": decimal, "percent": percent, "money": money}[kind](value)


def signed(value: float | None, digits: int = 0) -> str:
    """Format a number with its sign."""
    return NONE if value is None else f"{value:+,.{digits}f}".replace("-", MINUS)


def day(value: str | None) -> str:
    """Format an ISO date, or an ISO date and time in UTC, for readers."""
    if not value:
        return NONE
    if len(value) == 10:
        at = date.fromisoformat(value)
        return f"{at.day} {at:%B %Y}"
    moment = datetime.fromisoformat(value)
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def heat(value: float, full: float) -> str:
    """Return the opacity of a cell's colour, 0 to 0.5, so that text on it stays readable."""
    return f"{min(abs(value) / full, 1.0) * 0.5:.3f}" if full else "0"
