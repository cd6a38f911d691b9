"""The report's charts: inline SVG drawn by matplotlib in the page's colours and font.

Every platform already has matplotlib; its charts need neither script nor network and have 10 to 20 KB. It is imported
when the first chart is drawn, because that takes a second. Placeholder colours are replaced by the page's CSS
variables, so that one picture suits light mode, dark mode and print.
"""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

_COLOURS = {
    "ink": "#010101",
    "muted": "#010102",
    "line": "#010103",
    "c1": "#010104",
    "c2": "#010105",
    "c3": "#010106",
    "c4": "#010107",
}
_WIDTH = 400.0  # points; readable on a phone without zooming
_FONT = 11.5
_ROW = 17.5
_LEFT = 102.0
_SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",  # keep text as text: selectable, accessible, in the page's font
    "svg.hashsalt": "blitz",
    "text.parse_math": False,  # names may contain dollar signs
    "font.size": _FONT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.spines.bottom": False,
    "text.color": _COLOURS["ink"],
    "xtick.color": _COLOURS["muted"],
    "ytick.color": _COLOURS["ink"],
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "hatch.linewidth": 0.6,
}
Bars = Sequence[tuple[str, float, str]]


def _figure(height: float) -> tuple[Any, Any]:
    """A figure of a height in points, and axes that fill it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH / 72, height / 72))
    return figure, figure.add_axes((0, 0, 1, 1))


def _svg(name: str, title: str, figure: Any) -> Markup:
    """The figure as an inline SVG element with ``title`` for screen readers; its ids are prefixed with ``name``."""
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(r"font: ([\d.]+)px [^;\"]+", r"font: \1px var(--font)", text)
    text = re.sub(r"font: (bold|600|700) ([\d.]+)px [^;\"]+", r"font: 600 \2px var(--font)", text)
    for key, colour in _COLOURS.items():
        text = text.replace(colour, f"var(--{key})")
    _, _, rest = text.partition(">")
    box = f"0 0 {_WIDTH:g} {figure.get_figheight() * 72:g}"
    head = f'<svg class="chart" id="chart-{name}" viewBox="{box}" role="img" aria-label="{escape(title)}">'
    return Markup(head + rest)


def _clean(axes: Any, rows: float, right: float) -> None:
    axes.set_xlim(0, right)
    axes.set_ylim(rows, 0)
    axes.set_xticks([])
    axes.set_yticks([])


def _context() -> Any:
    from matplotlib import rc_context

    return rc_context(_SETTINGS)  # type: ignore[arg-type]


def short(name: str, most: int = 24) -> str:
    """Return the name, shortened to fit into a chart."""
    return name if len(name) <= most else name[: most - 1] + "…"


def segments(bands: Sequence[Mapping[str, Any]]) -> Markup:
    """Draw the customers per segment, grouped by band."""
    rows = sum(len(band["segments"]) + 1.6 for band in bands)
    most = max((each["customers"] for band in bands for each in band["segments"]), default=0) or 1
    with _context():
        figure, axes = _figure(rows * _ROW)
        at, left, full = 0.0, _LEFT, _WIDTH - _LEFT - 84.0
        for band in bands:
            axes.text(0, at + 0.65, band["words"], weight="bold", va="center", color=_COLOURS["muted"])
            at += 1.1
            for each in band["segments"]:
                width = each["customers"] / most * full
                axes.barh(at + 0.5, max(width, 0.5), left=left, height=0.62, color=_COLOURS["c1"], linewidth=0)
                axes.text(left - 6, at + 0.5, short(each["name"], 16), ha="right", va="center")
                axes.text(left + width + 5, at + 0.5, f"{each['customers']:,}", va="center")
                axes.text(_WIDTH, at + 0.5, f"{each['share']:.1%}", ha="right", va="center", color=_COLOURS["muted"])
                at += 1
            at += 0.5
        _clean(axes, rows, _WIDTH)
        return _svg("segments", "Bar chart: customers per segment", figure)


def funnel(rows: Sequence[Mapping[str, Any]]) -> Markup:
    """Draw the shares of rows kept and dropped per raw table."""
    with _context():
        figure, axes = _figure(len(rows) * _ROW * 1.5 + 4)
        left, full = _LEFT, _WIDTH - _LEFT - 80.0
        for at, each in enumerate(rows):
            middle, kept = at * 1.5 + 0.75, each["share"] * full
            axes.text(left - 6, middle, f"{each['channel']} {each['table']}", ha="right", va="center")
            axes.barh(middle, kept, left=left, height=0.8, color=_COLOURS["c1"], linewidth=0)
            axes.barh(middle, full - kept, left=left + kept, height=0.8, color=_COLOURS["c2"], linewidth=0)
            axes.text(_WIDTH, middle, f"{each['share']:.1%} kept", ha="right", va="center", color=_COLOURS["muted"])
        _clean(axes, max(len(rows) * 1.5, 1), _WIDTH)
        return _svg("funnel", "Bar chart: share of rows kept, per channel and table", figure)


def prices(buckets: Sequence[Mapping[str, Any]]) -> Markup:
    """Draw per price bucket and channel the share of orders with a line in the bucket."""
    channels = [each["name"] for each in buckets[0]["channels"]]
    step = 0.62 * len(channels) + 0.55
    rows = step * len(buckets) + 1.6
    most = max((each["share"] for bucket in buckets for each in bucket["channels"]), default=0) or 1
    with _context():
        figure, axes = _figure(rows * _ROW)
        left, full = _LEFT, _WIDTH - _LEFT - 44.0
        for at, name in enumerate(channels):
            x = left + at * 86
            axes.barh(0.6, 9, left=x, height=0.55, color=_COLOURS[f"c{at + 1}"], linewidth=0)
            axes.text(x + 13, 0.6, name, va="center", color=_COLOURS["muted"])
        for at, bucket in enumerate(buckets):
            top = 1.6 + at * step
            axes.text(left - 6, top + 0.31 * len(channels), short(bucket["name"], 16), ha="right", va="center")
            for place, each in enumerate(bucket["channels"]):
                y, width = top + 0.62 * place + 0.31, each["share"] / most * full
                axes.barh(y, max(width, 0.5), left=left, height=0.54, color=_COLOURS[f"c{place + 1}"], linewidth=0)
                axes.text(
                    left + width + 4, y, f"{each['share']:.0%}", va="center", fontsize=9.5, color=_COLOURS["muted"]
                )
        _clean(axes, rows, _WIDTH)
        return _svg("prices", "Bar chart: share of orders with a line in each price bucket, per channel", figure)


def changes(rows: Sequence[Mapping[str, Any]]) -> Markup:
    """Draw how many customers each segment gained (right) or lost (left) since the previous run."""
    most = max((abs(each["change"]) for each in rows), default=0) or 1
    with _context():
        figure, axes = _figure(max(len(rows), 1) * _ROW)
        left, full = _LEFT, _WIDTH - _LEFT - 40.0
        zero = left + full / 2
        axes.plot([zero, zero], [0, max(len(rows), 1)], color=_COLOURS["line"], linewidth=1)
        for at, each in enumerate(rows):
            width = each["change"] / most * (full / 2 - 34)
            colour = _COLOURS["c1" if width >= 0 else "c2"]
            axes.text(left - 6, at + 0.5, short(each["name"], 16), ha="right", va="center")
            axes.barh(at + 0.5, width, left=zero, height=0.62, color=colour, linewidth=0)
            side = 1 if width >= 0 else -1
            axes.text(
                zero + width + 4 * side,
                at + 0.5,
                f"{each['change']:+,}" if each["change"] else "0",
                ha="left" if side > 0 else "right",
                va="center",
                color=_COLOURS["muted"],
            )
        _clean(axes, max(len(rows), 1), _WIDTH)
        return _svg("changes", "Bar chart: change in customers per segment since the previous run", figure)
