"""The documentation holds together: links lead somewhere, commands exist, column tables are those of the code."""

import re
from pathlib import Path

import pytest

from refused import entries, examples, is_explained

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]


def code_out(text: str) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", code_out(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_to_a_file_and_heading(page: Path) -> None:
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", code_out(page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            dead.append(target)
    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_job_and_target_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    targets = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^\s+|`|\$ |&& )make ([a-z-]+)", text, re.MULTILINE))
    assert named <= targets
    jobs = set(re.findall(r"jobs/\w+\.py", text))
    assert [job for job in sorted(jobs) if not (CHECKOUT / job).exists()] == []


def linked_pages(page: Path) -> set[Path]:
    """The pages of the repository that a page links to."""
    targets = re.findall(r"\]\(([^)\s:]+)\)", code_out(page.read_text()))
    return {(page.parent / target.partition("#")[0]).resolve() for target in targets if ".md" in target}


def test_every_page_is_at_most_two_links_from_the_readme() -> None:
    first = linked_pages(PAGES[0])
    reached = first.union(*(linked_pages(page) for page in first if page.exists()))
    assert [page for page in PAGES[1:] if page not in reached] == []


def test_every_job_is_in_the_readme() -> None:
    text = PAGES[0].read_text()
    assert [job.name for job in sorted((CHECKOUT / "jobs").glob("*.py")) if f"jobs/{job.name}" not in text] == []


def test_every_message_about_a_file_has_an_example_that_was_printed() -> None:
    lines = examples()
    assert [text for text, entry in entries().items() if not any(entry.search(line) for line in lines)] == []
    assert [line for line in lines if not is_explained(line)] == []
