"""The report of outputs written by hand: counts worked out by hand, names that are markup, changes, and failures."""

import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from blitz.cli.main import main
from places import CHECKOUT

SCRIPT = "<script>alert(1)</script>"
BOLD = "<b>New</b> & old"
LUNCH, ODD = "omnichannel_Lunch_order_count", "omnichannel_categ_base_product_script_alert_1_script_count"
STORES = ("store_type", "store_generator_new", "store_geographical_city", "store_key_city")
# id: own-app orders, lunches, orders with the odd category, channels, order value, segment
PEOPLE = {
    "a": (2, 0, 1, "OC only", 100.0, SCRIPT),
    "b": (4, 1, 1, "OC + Dine in", 300.0, SCRIPT),
    "c": (3, 2, 0, "OC + Dine in + Swiggy", 200.0, "Lunch"),
    "d": (5, 1, 0, "OC + Swiggy", None, "Lunch"),
    "e": (7, 1, 0, "OC only", 500.0, "Many"),
    "f": (120, 1, 1, "OC only", 100.0, None),
}
RULES = {
    "bands": [
        {"name": "few", "at_most": 5.5, "rules": [
            {"segment": SCRIPT, "conditions": [{"column": "channel_count", "at_most": 1.5}]},
            {"segment": "Lunch", "conditions": [{"column": "channel_count", "greater_than": 1.5}]},
        ]},
        {"name": "many", "greater_than": 5.5, "rules": [
            {"segment": "Many", "conditions": [{"column": "Lunch_flag", "equals": 1}]},
            {"segment": "None", "conditions": [{"column": "Lunch_flag", "equals": 0}]},
        ]},
    ]
}  # fmt: skip


def customers() -> pd.DataFrame:
    frame = pd.DataFrame({"algonomy_id": list(PEOPLE)})
    for at, name in enumerate(["ownapp_order_count", LUNCH, ODD, "channels_ordered_from", "omnichannel_aov"]):
        frame[name] = [each[at] for each in PEOPLE.values()]
    frame["unique_category_base_products_count"], frame["unique_dri_category_count"] = 3, 2
    frame["channel_count"] = [1, 2, 3, 2, 1, 1]
    frame["omnichannel_recency"], frame["omnichannel_avg_discount_pct"] = [10, 20, 30, 40, 50, 60], 0.1
    return frame


def orders(channel: str) -> pd.DataFrame:
    """Times of UTC; Asia/Kolkata is 5:30 ahead: 19:00 on Sunday, 6 July 2025, is half past midnight on Monday."""
    rows = {
        "ownapp": [("2025-07-06T19:00", "Late Night", 7, "Mall", 1, 0), ("2025-07-06T07:00", "Lunch", 8, None, 1, 1), ("2025-07-06T07:30", "Lunch", 8, None, 0, 0)],
        "swiggy": [("2025-07-05T07:00", "Lunch", 8, None, 0, 1)],
        "instore": [("2025-07-08T07:00", "Lunch", 9, "Mall", 1, 0)],
    }[channel]  # fmt: skip
    key = "StoreCode" if channel == "instore" else "store_mds_id"
    frame = pd.DataFrame(
        rows, columns=["at", "order_time_of_day", key, "store_type", "Cheap_items_count", "Dear_items_count"]
    )
    frame["order_placed_datetime"] = pd.to_datetime(frame.pop("at")).dt.tz_localize("UTC").astype("datetime64[us, UTC]")
    frame["total_price"] = 100.0
    for name in STORES[1:]:
        frame[name] = frame["store_type"]
    frame.loc[frame["store_type"].notna() & (frame[key] == 9), "store_key_city"] = None
    if channel != "instore":
        frame["store_name"] = BOLD
    return frame


def account(table: str, read: int, kept: int, **dropped: int) -> dict[str, Any]:
    return {"table": table, "read": read, "kept": kept, "dropped": dropped, "notes": {"customer_conflicts": 2}}


def micro() -> pd.DataFrame:
    frame = customers()[["algonomy_id", "ownapp_order_count", "channel_count", LUNCH, ODD]].iloc[:4]
    frame.insert(1, "microcluster", ["0", "0", "1", "1"])
    frame.insert(2, "Segment", BOLD)
    return frame


def write(root: Path, run_id: str = "r1", segments: list[str | None] | None = None) -> str:
    """Outputs, manifest and config of one run; returns the config's path."""
    out = root / "out"
    config = json.loads((CHECKOUT / "conf/local.json").read_text().replace("data/", f"{root}/"))
    pipeline, body = config["feature_pipeline"], config["segmentation"]
    pipeline["common"]["price_config"] = {"price_bins": [0, 100, 1000], "bucket_labels": ["Cheap", "Dear"]}
    body |= {
        "cols_to_keep": ["algonomy_id", "ownapp_order_count", "channel_count"], "convert_to_flag": [LUNCH, ODD],
        "rename_dict": {"Lunch_order_flag": "Lunch_flag"}, "rename_dict_microsegments": {}, "cap_segments": [],
        "micro_plan": [{"name": BOLD, "source_segments": [SCRIPT, "Lunch"], "model_key": "segment_1_5_3_model"}],
        "rules_path": f"{root}/rules.json",
    }  # fmt: skip
    given = segments or [each[5] for each in PEOPLE.values()]
    assigned = pd.DataFrame({"algonomy_id": list(PEOPLE), "Segment": given}).dropna()
    tables = {
        pipeline["customer"]["output_path"]: customers(),
        body["output_segments_path"]: assigned,
        body["output_microsegments_path"]: micro(),
        **{pipeline[name]["output_path"]: orders(name) for name in ("ownapp", "swiggy", "instore")},
    }
    for path, frame in tables.items():
        Path(path).mkdir(parents=True, exist_ok=True)
        frame.to_parquet(f"{path}/part-0.parquet", index=False)
    (root / "rules.json").write_text(json.dumps(RULES))
    steps = dict(
        zip(("customers", "segments", "microsegments", "ownapp", "swiggy", "instore"), tables.items(), strict=True)
    )
    manifest = {
        "run_id": run_id, "finished_at": f"2026-01-0{run_id[1]}T10:00:00+00:00", "config_hash": "c0ffee", "rules": None,
        "versions": {"blitz": "0.1.0", "spark": "4.0.1"}, "models": {}, "run_date": "2025-07-09", "cutoff_date": "2024-07-09",
        "menu": {"base": [SCRIPT], "dri": []}, "warnings": [f"warned of {SCRIPT}"],
        "steps": {
            name: {"output": path, "rows": len(frame), "files": 1, "bytes": 1000, "seconds": 1.5, "quarantine": None, "accounts": []}
            for name, (path, frame) in steps.items()
        },
    }  # fmt: skip
    manifest["steps"]["ownapp"]["accounts"] = [
        account("orders", 10, 3, no_customer=6, duplicate=1),
        account("lines", 9, 9),
    ]
    manifest["steps"]["ownapp"]["accounts"].append(account("customer mapping", 8, 7, bad_record=1))
    manifest["steps"]["ownapp"]["gates"] = [
        {"gate": "missing_days", "state": "warned", "message": f"ownapp: no order on {SCRIPT}"}
    ]
    Path(out / "features/users/ownapp/manifest.json").write_text(json.dumps(manifest))
    (root / "conf.json").write_text(json.dumps(config))
    return str(root / "conf.json")


def report(*arguments: str) -> int:
    return main("report", arguments)


class _Markup(HTMLParser):
    """The tags of a page and the texts of its elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def made(spark, tmp_path_factory) -> tuple[Path, dict[str, Any], str]:
    root = tmp_path_factory.mktemp("report")
    assert report("--conf", write(root)) == 0
    folder = root / "out/features/users/ownapp"
    return root, json.loads((folder / "report.json").read_text()), (folder / "report.html").read_text()


def test_segments_and_their_profiles(made):
    _, numbers, _ = made
    assert numbers["customers"] == {"all": 6, "segmented": 5, "without_features": 0, "own_orders": 21}
    few, many = numbers["bands"]
    assert (few["customers"], few["orders"], few["average"], few["share"]) == (4, 14, 3.5, 0.8)
    script, lunch = few["segments"]
    assert (script["name"], script["customers"], script["orders"], script["average"]) == (SCRIPT, 2, 6, 3.0)
    assert (script["share"], script["share_of_band"], script["words"]) == (0.4, 0.5, [["at most 1 channel"]])
    assert script["figures"]["aov"] == 200 and lunch["figures"]["aov"] == 200  # a null is left out of the mean
    assert script["figures"]["recency"] == 15 and few["figures"]["recency"] == 25
    traits = {each["name"]: (each["share"], each["band"]) for each in script["traits"]}
    assert traits == {SCRIPT: (1.0, 0.5), "Lunch": (0.5, 0.75)}
    assert [(each["customers"], each["average"], each["traits"]) for each in many["segments"]] == [
        (1, 7.0, []),
        (0, None, []),
    ]


def test_micro_segments_channels_hours_prices_and_stores(made):
    _, numbers, _ = made
    (plan,) = numbers["plans"]
    assert [(each["name"], each["customers"]) for each in plan["clusters"]] == [("0", 2), ("1", 2)]
    channels = next(
        each for each in plan["features"] if each["name"] == "Channels"
    )  # 1, 2 and 3, 2: mean 2, variance 0.5
    assert channels["scores"] == pytest.approx([-0.5 / 0.5**0.5, 0.5 / 0.5**0.5])
    found = {each["name"]: each["customers"] for each in numbers["channels"]["combinations"]}
    assert found == {"Own app": 3, "Own app + In store": 1, "Own app + Swiggy + In store": 1, "Own app + Swiggy": 1}
    assert [each["customers"] for each in numbers["channels"]["reach"]] == [6, 2, 2]
    own = {part["name"]: part["orders"] for part in numbers["hours"][0]["dayparts"]}
    assert own["Late Night"] == [1, 0, 0, 0, 0, 0, 0] and own["Lunch"] == [0, 0, 0, 0, 0, 0, 2]
    assert [[each["orders"] for each in bucket["channels"]] for bucket in numbers["prices"]] == [[2, 0, 1], [1, 1, 0]]
    assert [(each["channel"], each["store"], each["orders"], each["lacks"]) for each in numbers["stores"]["rows"]] == [
        ("Own app", "8", 2, "not in the store files"),
        ("In store", "9", 1, "key city"),
        ("Swiggy", "8", 1, "not in the store files"),
    ]
    assert (numbers["stores"]["orders"], numbers["stores"]["share"]) == (4, 0.8)


def test_the_funnel_and_the_warnings(made):
    _, numbers, _ = made
    own = numbers["funnel"][0]
    assert (own["read"], own["kept"], own["adds_up"]) == (10, 3, True)
    assert [(each["reason"], each["rows"], each["share"]) for each in own["dropped"]] == [
        ("no_customer", 6, 0.6),
        ("duplicate", 1, 0.1),
    ]
    warnings = "\n".join(numbers["warnings"])
    for expected in ("6 rows (60.0%) have no customer", "with several customers in the customer mapping", "No customers in None.", "4 orders (80.0%) are from stores", f"warned of {SCRIPT}"):  # fmt: skip
        assert expected in warnings


def test_the_gates_and_the_account_of_the_mapping(made):
    _, numbers, page = made
    assert [(each["step"], each["gate"], each["state"]) for each in numbers["gates"]] == [
        ("ownapp", "missing_days", "warned")
    ]
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.split('id="gate-table"')[1].split("</table>")[0]))
    assert "ownapp missing_days warned ownapp: no order on &lt;script&gt;" in text
    later = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.split('data-funnel="later"')[1].split("</table>")[0]))
    assert "ownapp customer mapping 8 7 1" in later


def test_names_from_data_are_text(made):
    _, _, page = made
    parsed = _Markup(page)
    assert parsed.tags.count("script") == 1 and "alert(1)" not in page.split("<script>")[1]
    assert "b" not in {tag for tag in parsed.tags if tag == "b"} or BOLD.split()[0] not in page
    assert SCRIPT not in page and "<b>New" not in page
    assert parsed.text.count(SCRIPT) >= 5  # segment (table, card, filter), category, warning
    assert BOLD in parsed.text  # a plan and a store
    assert unescape("&lt;b&gt;New&lt;/b&gt; &amp; old") == BOLD
    assert not re.search(r"(src|href)=\"(?!#|data:)", page)  # nothing is fetched
    assert all(f">{name}<" not in page for name in PEOPLE)  # no ids
    assert len(page) < 2_000_000


def test_the_same_run_again_is_no_change_and_the_next_run_is(made, spark, tmp_path):
    assert report("--conf", write(tmp_path)) == 0
    folder = tmp_path / "out/features/users/ownapp"
    assert report("--conf", str(tmp_path / "conf.json")) == 0
    assert json.loads((folder / "report.json").read_text())["changes"] is None
    assert "there is nothing to compare with yet" in (folder / "report.html").read_text()

    moved = [SCRIPT, "Lunch", "Lunch", "Lunch", "Many", None]
    assert report("--conf", write(tmp_path, "r2", moved)) == 0
    for _ in range(2):  # made again, it still compares with r1
        found = json.loads((folder / "report.json").read_text())["changes"]
        assert found["before"]["run_id"] == "r1" and found["moves"] is None
        rows = {each["name"]: (each["before"], each["after"]) for each in found["segments"]}
        assert rows == {SCRIPT: (2, 1), "Lunch": (2, 3), "Many": (1, 1), "None": (0, 0)}
        assert report("--conf", str(tmp_path / "conf.json")) == 0

    root, _, _ = made  # r1 elsewhere: its segments are still there
    previous = root / "out/features/users/ownapp/report.json"
    assert report("--conf", str(tmp_path / "conf.json"), "--previous", str(previous)) == 0
    moves = json.loads((folder / "report.json").read_text())["changes"]["moves"]
    assert (moves["stayed"], moves["moved"], moves["entered"], moves["left"]) == (4, 1, 0, 0)
    assert moves["largest"] == [{"from": SCRIPT, "to": "Lunch", "customers": 1}]


def test_what_is_missing_is_said_and_nothing_is_touched(made, spark, tmp_path, capsys):
    conf = write(tmp_path)
    folder = tmp_path / "out/features/users/ownapp"
    assert report("--conf", conf, "--previous", f"{tmp_path}/none.json") == 1
    assert "none.json: not the numbers of a report" in capsys.readouterr().err
    (tmp_path / "out/segments.par/part-0.parquet").unlink()
    (tmp_path / "out/segments.par").rmdir()
    assert report("--conf", conf) == 1
    error = capsys.readouterr().err
    assert "segments.par: no table there; run the step that makes it first" in error and "Traceback" not in error
    (folder / "manifest.json").unlink()
    assert report("--conf", conf) == 1
    assert "no manifest of this run; run jobs/run_all.py first" in capsys.readouterr().err
    assert not (folder / "report.html").exists() and not (folder / "report.json").exists()


def test_a_run_whose_report_fails_says_so_and_succeeds(sample_run, sample_config, tmp_path, capsys, monkeypatch):
    from blitz.report import page

    def broken(_numbers):
        raise RuntimeError("no page today")

    folder = Path(sample_config["feature_pipeline"]["customer"]["output_path"]).parent
    before = (folder / "report.html").read_bytes()
    monkeypatch.setattr(page, "render", broken)
    copy = json.loads(Path(sample_config["path"]).read_text())
    copy["segmentation"] |= {
        "output_segments_path": f"{tmp_path}/segments.par",
        "output_microsegments_path": f"{tmp_path}/micro.par",
    }
    copy["run"] = {"manifest_path": str(folder / "manifest.json"), "report_path": str(folder / "report.html")}
    (tmp_path / "conf.json").write_text(json.dumps(copy))
    assert main("run_all", argv=["--conf", f"{tmp_path}/conf.json", "--steps", "segments,microsegments"]) == 0
    said = capsys.readouterr()
    assert (
        "Report:   not built: RuntimeError: no page today; the tables are published; build it later with jobs/report.py"
        in said.out
    )
    assert "WARNING report: not built: RuntimeError: no page today" in said.err
    assert len(pd.read_parquet(tmp_path / "segments.par")) > 100
    assert (folder / "report.html").read_bytes() == before
    (folder / "manifest.segments_microsegments.json").unlink()
