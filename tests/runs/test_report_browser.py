"""The sample run's report in a real browser: drawn, sorted, filtered, accessible, and equal to the Parquet outputs.

Needs Chromium: ``make test`` installs it where it can (scripts/browser.sh). Where CI is set its absence is a failure.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import compare

SECTIONS = (
    "segments",
    "profiles",
    "microsegments",
    "scores",
    "value",
    "transitions",
    "channels",
    "hours",
    "prices",
    "changes",
    "funnel",
    "fix",
    "warnings",
    "run",
)
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
LABELS = {"ownapp": "Own app", "swiggy": "Swiggy", "instore": "In store"}
DAYPARTS = ["Breakfast", "Lunch", "Evening", "Dinner", "Late Night"]


def browser_path() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    message = "no Chromium on this machine: apt-get install chromium (scripts/browser.sh does, as root on Debian)"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is in the lock of the default environment alone"
    )
    with api.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=browser_path(), args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def report(sample_run: dict[str, Any], sample_config: dict[str, Any]) -> Path:
    return Path(sample_config["feature_pipeline"]["customer"]["output_path"]).parent / "report.html"


@pytest.fixture(scope="module")
def page(browser, report) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    opened = context.new_page()
    opened.problems = []
    opened.on(
        "console",
        lambda message: opened.problems.append(message.text) if message.type in ("error", "warning") else None,
    )
    opened.on("pageerror", lambda error: opened.problems.append(str(error)))
    opened.on(
        "request",
        lambda request: opened.problems.append(request.url) if not request.url.startswith(("file:", "data:")) else None,
    )
    opened.goto(report.as_uri())
    yield opened
    context.close()


@pytest.fixture(scope="module")
def outputs(sample_config) -> dict[str, pd.DataFrame]:
    return {step: compare.read(path) for step, path in compare.output_paths(sample_config).items()}


def column(page: Any, rows: str, cell: str) -> list[float]:
    """The raw values of one cell in every row."""
    return page.eval_on_selector_all(rows, f"rows => rows.map(row => Number(row.querySelector('{cell}').dataset.v))")


def segment_rows(page: Any) -> list[str]:
    return page.eval_on_selector_all(
        "#segment-table tbody tr", "rows => rows.filter(r => !r.hidden).map(r => r.dataset.segment)"
    )


def test_it_opens_without_an_error_or_a_request_and_has_every_section(page, report):
    assert page.problems == []
    assert report.stat().st_size < 2_000_000
    heads = page.eval_on_selector_all(
        "main section", "all => all.map(each => [each.id, each.querySelector('h2').innerText])"
    )
    assert tuple(name for name, _ in heads) == SECTIONS and all(text for _, text in heads)
    links = page.eval_on_selector_all("nav a", "all => all.map(each => each.hash)")
    assert links == [f"#{name}" for name in SECTIONS]


def test_charts_are_drawn_in_the_pages_colours(page):
    script = """charts => charts.map(chart => [chart.id, chart.getBoundingClientRect().width,
        Array.from(chart.querySelectorAll('path')).filter(p => p.getBBox().width > 1 && p.getBBox().height > 1).length,
        chart.querySelectorAll('text').length,
        new Set(Array.from(chart.querySelectorAll('path')).map(p => getComputedStyle(p).fill)).size])"""
    found = {name: rest for name, *rest in page.eval_on_selector_all("svg.chart", script)}
    assert found.keys() == {"chart-segments", "chart-funnel", "chart-prices"}
    bars = {"chart-segments": 27, "chart-funnel": 12, "chart-prices": 24}
    for name, (width, paths, texts, colours) in found.items():
        assert width > 300 and paths >= bars[name] and texts >= bars[name] / 2 and colours >= 1, (
            name,
            width,
            paths,
            texts,
        )
    cells = page.eval_on_selector_all(".heat td", "all => all.map(each => getComputedStyle(each).backgroundColor)")
    assert len(cells) > 11 * 3 * 4 and len(set(cells)) > 20


def test_segments_equal_the_outputs(page, outputs):
    table = outputs["segments"].merge(outputs["customers"][["algonomy_id", "ownapp_order_count", "omnichannel_aov"]])
    grouped = table.groupby("Segment").agg(
        n=("algonomy_id", "size"), orders=("ownapp_order_count", "sum"), aov=("omnichannel_aov", "mean")
    )
    names = page.eval_on_selector_all("#segment-table tbody tr", "rows => rows.map(row => row.dataset.segment)")
    assert sorted(names) == sorted(grouped.index) and len(names) == 27
    shown = page.eval_on_selector_all("#segment-table .name", "all => all.map(each => each.innerText)")
    assert len(set(shown)) == 27 and "16+ orders, up to 11 products, breakfast" in shown
    expected = grouped.loc[names]
    rows = "#segment-table tbody tr"
    assert column(page, rows, "td:nth-child(3)") == expected["n"].tolist()
    assert column(page, rows, "td:nth-child(4)") == pytest.approx((expected["n"] / len(table)).tolist())
    assert column(page, rows, "td:nth-child(6)") == expected["orders"].tolist()
    assert column(page, rows, "td:nth-child(7)") == (expected["orders"] / expected["n"]).round(2).tolist()
    assert column(page, rows, "td:nth-child(8)") == pytest.approx(expected["aov"].tolist())
    shown = page.eval_on_selector_all(rows, "rows => rows.map(row => row.cells[2].innerText)")
    assert shown == [f"{count:,}" for count in expected["n"]]
    tiles = page.eval_on_selector_all("#key-figures dd[data-v]", "all => all.map(each => Number(each.dataset.v))")
    assert tiles == [len(outputs[step]) for step in ("customers", "segments", "ownapp", "swiggy", "instore")]
    assert column(page, "#band-table tfoot tr", "td:nth-child(2)") == [len(table)]


def test_profiles_equal_the_outputs(page, outputs):
    merged = outputs["segments"].merge(outputs["customers"])
    band = merged[merged["ownapp_order_count"] <= 5]
    mine = band[band["Segment"] == "Seg1_5_6"]
    card = page.locator('[data-profile="Seg1_5_6"]')
    assert card.locator(".rule").inner_text() == "3 or more base products, 2 or more channels, buys Premium-price items"
    figures = card.locator(".figures tbody tr").all_inner_texts()
    assert figures[3].split("\t")[1:] == [
        f"{mine['omnichannel_recency'].mean():,.0f}",
        f"{band['omnichannel_recency'].mean():,.0f}",
    ]
    shown = dict(text.rsplit("\n", 1) for text in card.locator(".traits li").all_inner_texts())
    flags = {
        "Mid Tier price": "omnichannel_order_count_with_Mid_Tier_price_range_items", "Late Night": "omnichannel_Late Night_order_count",
        "Value price": "omnichannel_order_count_with_Value_price_range_items", "Breakfast": "omnichannel_Breakfast_order_count",
        "Economy price": "omnichannel_order_count_with_Economy_price_range_items", "Weekends": "omnichannel_weekend_order_count",
        "McChicken Burger": "omnichannel_categ_base_product_mcchicken_burger_count", "Coke": "omnichannel_categ_base_product_coke_count",
    }  # fmt: skip
    known = flags.keys() & shown.keys()
    assert len(shown) == 6 and known
    for name in known:
        has, had = (mine[flags[name]] > 0).mean(), (band[flags[name]] > 0).mean()
        assert shown[name] == f"{has * 100:.0f}% ({had * 100:.0f}%)"


def test_micro_segments_equal_the_outputs(page, outputs):
    micro = outputs["microsegments"]
    script = """cards => Object.fromEntries(cards.map(card => [card.dataset.plan,
        Object.fromEntries(Array.from(card.querySelectorAll('th[data-cluster]')).map(h => [h.dataset.cluster, Number(h.dataset.v)]))]))"""
    shown = page.eval_on_selector_all("[data-plan]", script)
    expected = {name: part["microcluster"].value_counts().to_dict() for name, part in micro.groupby("Segment")}
    assert shown == expected and len(expected) == 11
    part = micro[micro["Segment"] == "Seg1_5_5"]
    names = page.locator('[data-plan="Seg1_5_5"] tbody th').all_inner_texts()
    lunch = part["omnichannel_Dinner_order_count"].astype(float)
    assert len(names) == 12 and len(set(names)) == 12
    if "Dinner" in names:
        means = lunch.groupby(part["microcluster"]).mean().sort_index()
        texts = (
            page.locator('[data-plan="Seg1_5_5"] tbody tr').nth(names.index("Dinner")).locator("td").all_inner_texts()
        )
        assert texts == [f"{(mean - lunch.mean()) / lunch.std(ddof=0):+.1f}".replace("-", "−") for mean in means]


def test_scores_and_value_equal_the_outputs(page, outputs):
    scores = outputs["scores"].merge(outputs["segments"], on="algonomy_id", how="left")
    names = page.eval_on_selector_all("#lifecycle-table tbody tr", "rows => rows.map(row => row.dataset.lifecycle)")
    grouped = scores.groupby("lifecycle")["total_spend"].agg(["size", "sum"]).reindex(names).fillna(0)
    rows = "#lifecycle-table tbody tr"
    assert column(page, rows, "td:nth-child(3)") == grouped["size"].tolist() and grouped["size"].sum() == len(scores)
    assert column(page, rows, "td:nth-child(6)") == pytest.approx(grouped["sum"].tolist())
    cells = page.eval_on_selector_all("#rfm-grid tbody td", "all => all.map(each => Number(each.dataset.v))")
    counts = pd.crosstab(scores["r_score"], scores["f_score"]).reindex(
        index=range(5, 0, -1), columns=range(1, 6), fill_value=0
    )
    assert cells == counts.fillna(0).to_numpy().ravel().tolist()
    rfm = page.eval_on_selector_all("#rfm-table tbody tr", "rows => rows.map(row => row.dataset.rfm)")
    sizes = scores["rfm_segment"].value_counts().reindex(rfm).fillna(0)
    assert column(page, "#rfm-table tbody tr", "td:nth-child(2)") == sizes.tolist() and sizes.sum() == len(scores)
    segments = page.eval_on_selector_all("#value-table tbody tr", "rows => rows.map(row => row.dataset.value)")
    spend = scores.assign(Segment=scores["Segment"].fillna("")).groupby("Segment")["total_spend"].sum().loc[segments]
    assert column(page, "#value-table tbody tr", "td:nth-child(3)") == pytest.approx(spend.tolist())
    (total,) = column(page, "#value-figures div:first-child", "dd")
    assert total == pytest.approx(scores["total_spend"].sum())
    assert "set run.history_path" in page.locator("#transitions").inner_text()


def test_channels_hours_prices_stores_and_funnel_equal_the_outputs(page, outputs, sample_run):
    combinations = outputs["customers"]["channels_ordered_from"].value_counts()
    assert column(page, "#channel-table tbody tr", "td.n") == combinations.tolist()
    lacking = 0
    for step, label in LABELS.items():
        orders = outputs[step]
        local = orders["order_placed_datetime"].dt.tz_convert("Asia/Kolkata")
        cells = pd.crosstab(orders["order_time_of_day"], local.dt.dayofweek).reindex(
            index=DAYPARTS, columns=range(7), fill_value=0
        )
        script = "rows => rows.map(row => Array.from(row.querySelectorAll('td')).map(cell => Number(cell.dataset.v)))"
        assert page.eval_on_selector_all(f'[data-hours="{label}"] tbody tr', script) == cells.to_numpy().tolist()
        labels = [name for name in orders.columns if name.endswith("_items_count")]
        at = 4 + list(LABELS).index(step)
        assert column(page, "#price-table tbody tr", f"td:nth-child({at})") == orders[labels].sum().tolist()
        lacking += int(
            orders[["store_type", "store_generator_new", "store_geographical_city", "store_key_city"]]
            .isna()
            .any(axis=1)
            .sum()
        )
    assert lacking > 0 and sum(column(page, "#store-table tbody tr", "td:nth-child(4)")) == lacking
    for table in ("orders", "lines"):
        for at, step in enumerate(LABELS):
            (told,) = (each for each in sample_run["steps"][step]["accounts"] if each["table"] == table)
            script = (
                f"rows => Object.fromEntries(rows.map(row => [row.dataset.row, Number(row.cells[{at + 1}].dataset.v)]))"
            )
            shown = page.eval_on_selector_all(f'[data-funnel="{table}"] tr[data-row]', script)
            lost = {reason: count for reason, count in told["dropped"].items() if count}
            assert {key: value for key, value in shown.items() if value} == {
                "read": told["read"],
                "kept": told["kept"],
                **lost,
            }


def test_unmapped_items_equal_the_raw_lines(page, sample_config):
    common, own = sample_config["feature_pipeline"]["common"], sample_config["feature_pipeline"]["ownapp"]
    menu = pd.read_csv(common["categories_path"], dtype=str)
    known = set(menu.loc[menu["Final Dri Category"].notna(), "item_id_id"].str.replace(r"\.0$", "", regex=True))
    lines = pd.read_parquet(own["order_items_data_path"], columns=["item_id_id", "promo_item"])
    plain = lines[~(lines["promo_item"].fillna(0).astype(bool))]["item_id_id"].dropna().astype("int64").astype(str)
    expected = plain[~plain.isin(known)].value_counts()
    script = "rows => rows.map(row => [row.cells[1].innerText, row.cells[0].innerText, Number(row.cells[3].dataset.v)])"
    shown = {
        item: count
        for channel, item, count in page.eval_on_selector_all("#item-table tbody tr", script)
        if channel == "Own app" and item != "no code"
    }
    assert shown == expected.head(len(shown)).to_dict() and len(shown) >= min(len(expected), 3) > 0


def test_sorting_and_filtering_the_segments(page):
    def values(at: int) -> list[float]:
        return column(page, "#segment-table tbody tr", f"td:nth-child({at})")

    def sort(name: str) -> Any:
        page.get_by_role("button", name=name, exact=True).click()
        return (
            page.locator("#segment-table").get_by_role("columnheader", name=name, exact=True).get_attribute("aria-sort")
        )

    before = segment_rows(page)
    assert (
        sort("Customers") == "descending"
        and values(3) == sorted(values(3), reverse=True)
        and segment_rows(page) != before
    )
    assert sort("Customers") == "ascending" and values(3) == sorted(values(3))
    assert sort("Per customer") == "descending" and values(7) == sorted(values(7), reverse=True)
    assert page.locator("#segment-table th[aria-sort]").count() == 1
    assert sort("Segment") == "ascending"
    expected = [
        *(f"Seg_6_15_{at:02}" for at in range(1, 11)),
        *(f"Seg1_5_{at}" for at in range(1, 9)),
        *(f"Seg15_plus_{at}" for at in range(1, 10)),
    ]
    assert sorted(segment_rows(page)) == sorted(expected) and segment_rows(page)[-1] == "Seg15_plus_9"

    page.select_option("#segment-band", "6_15")
    assert segment_rows(page) == [f"Seg_6_15_{at:02}" for at in range(1, 11)]
    page.fill("#segment-search", "more CHANNELS")
    assert segment_rows(page) == [
        "Seg_6_15_09",
        "Seg_6_15_10",
    ]  # those of the band with "2 or more channels" in the rule
    assert page.inner_text("#segment-status").startswith("2 of 27 segments, ")
    page.fill("#segment-search", "nothing like this")
    assert segment_rows(page) == [] and page.inner_text("#segment-status") == "0 of 27 segments, 0 customers"
    page.fill("#segment-search", "")
    page.select_option("#segment-band", "")
    assert len(segment_rows(page)) == 27 and page.problems == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing_serious(browser, report, width, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    opened = context.new_page()
    opened.goto(report.as_uri())
    assert opened.evaluate("document.documentElement.scrollWidth") == width  # nothing sticks out
    background = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")
    opened.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    found = axe.Axe().run(opened).response["violations"]
    context.close()
    serious = [(each["id"], each["impact"], [node["html"][:120] for node in each["nodes"][:3]]) for each in found]
    assert [each for each in serious if each[1] in ("serious", "critical")] == []


def test_on_a_phone_cards_fold_and_on_paper_they_open(browser, report):
    context = browser.new_context(viewport={"width": 390, "height": 844})
    opened = context.new_page()
    opened.goto(report.as_uri())
    folded = "document.querySelectorAll('details.card:not([open])').length"
    assert opened.evaluate(folded) == 27 + 11
    opened.locator("#segment-table tbody a").first.click()
    assert opened.evaluate(folded) == 27 + 11 - 1
    opened.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert opened.evaluate(folded) == 0
    opened.emulate_media(media="print", color_scheme="dark")
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert opened.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    context.close()


def test_the_numbers_beside_it_hold_no_ids(report, outputs):
    text = report.with_suffix(".json").read_text() + report.read_text()
    assert json.loads(report.with_suffix(".json").read_text())["run"]["run_id"]
    assert not any(f'"{each}"' in text or f">{each}<" in text for each in outputs["customers"]["algonomy_id"])
