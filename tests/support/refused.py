"""The messages and examples of docs/refused.md."""

import re

from places import CHECKOUT


def entries() -> dict[str, re.Pattern[str]]:
    """The messages by their text, as regular expressions: single capitals, REASONS and KEY may be any words."""
    lines = (CHECKOUT / "docs/refused.md").read_text().splitlines()
    texts = [line.split("|")[1].strip() for line in lines if line.startswith("| ")][1:]
    return {text: re.compile(re.sub(r"\b(?:[A-Z]|KEY|REASONS)\b", ".+", re.escape(text))) for text in texts}


def is_explained(line: str) -> bool:
    """Whether a message of the page explains a line that was printed."""
    return any(entry.search(line) for entry in entries().values())


def examples() -> list[str]:
    """The lines of the page's examples."""
    [block] = re.findall(
        r"^## Examples$.*?^```\w*\n(.*?)^```$", (CHECKOUT / "docs/refused.md").read_text(), re.DOTALL | re.MULTILINE
    )
    return block.splitlines()
