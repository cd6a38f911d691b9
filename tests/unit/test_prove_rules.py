"""The proof as a job: exit codes, counts, and the counterexample of a file broken by hand."""

import json
from pathlib import Path

import pytest

from blitz.cli.main import main
from blitz.segmentation.rules import default_rules

CHECKOUT = Path(__file__).resolve().parents[2]


def prove_rules(argv: list[str]) -> int:
    return main("prove_rules", argv)


def broken(tmp_path, change) -> str:
    body = json.loads(default_rules().model_dump_json(exclude_none=True))
    change(body["bands"])
    path = tmp_path / "rules.json"
    path.write_text(json.dumps(body))
    return str(path)


def band_line(text: str, band: str) -> list[str]:
    return next(line.split() for line in text.splitlines() if line.startswith(f"{band} "))


def test_the_built_in_rules_are_proven(capsys):
    assert prove_rules([]) == 0
    printed = capsys.readouterr().out
    # u has one cut, c one, three or four flags: 2 * 2 * 8, 2 * 2 * 16; the last band has u with three cuts, no c
    assert band_line(printed, "1_5") == ["1_5", "8", "32", "32", "0", "0"]
    assert band_line(printed, "6_15") == ["6_15", "10", "64", "64", "0", "0"]
    assert band_line(printed, "15_plus") == ["15_plus", "9", "32", "32", "0", "0"]
    assert "27 segments" in printed
    assert "8.5 < unique_cat_base_count <= 11.5 and Breakfast_flag = 0" in printed


def test_a_gap_names_the_cell_the_nearest_rule_and_what_fails(tmp_path, capsys):
    path = broken(tmp_path, lambda bands: bands[0]["rules"].pop(2))
    assert prove_rules([path]) == 1
    out, err = capsys.readouterr()
    # u <= 2.5, WE = 1, WD = 1 for both sides of c and of PR: four cells
    assert band_line(out, "1_5") == ["1_5", "7", "32", "28", "4", "0"]
    assert band_line(out, "6_15")[-3:] == ["64", "0", "0"]
    assert "unique_cat_base_count <= 2.5, Weekend_flag = 1, Weekday_flag = 1" in err
    assert "matches no rule; the nearest is Seg1_5_1, which fails at Weekend_flag = 0" in err
    assert "Proven" not in out


def test_an_overlap_names_the_cell_and_the_rules(tmp_path, capsys):
    path = broken(tmp_path, lambda bands: bands[0]["rules"][0]["conditions"].pop())
    assert prove_rules([path]) == 1
    out, err = capsys.readouterr()
    # u <= 2.5, WE = 1: two values of WD, c and PR
    assert band_line(out, "1_5") == ["1_5", "8", "32", "24", "0", "8"]
    assert "unique_cat_base_count <= 2.5, Weekend_flag = 1, Weekday_flag = 0" in err
    assert "matches Seg1_5_1 and Seg1_5_2" in err


def test_a_gap_between_bands(tmp_path, capsys):
    assert prove_rules([broken(tmp_path, lambda bands: bands[1].update(greater_than=6.5))]) == 1
    assert "ownapp_order_count in (5.5, 6.5] belong to no band" in capsys.readouterr().err


def test_too_many_cells_are_said_so(tmp_path, capsys):
    wide = [{"column": f"c{at}_flag", "equals": 0} for at in range(22)]
    assert prove_rules([broken(tmp_path, lambda bands: bands[0]["rules"][0].update(conditions=wide))]) == 1
    assert "too many to prove" in capsys.readouterr().err


@pytest.mark.parametrize("text", [None, "{", '{"bands": [{"name": "a"}]}'], ids=["missing", "not-json", "no-rules"])
def test_an_unreadable_file_is_exit_2(tmp_path, capsys, text):
    path = tmp_path / "other.json"
    if text is not None:
        path.write_text(text)
    assert prove_rules([str(path)]) == 2
    out, err = capsys.readouterr()
    assert "other.json" in err and not out


def test_the_config_names_the_file_and_its_plan_is_checked(tmp_path, capsys):
    text = (CHECKOUT / "conf/local.json").read_text()
    body = json.loads(text)
    path = broken(tmp_path, lambda bands: bands[2]["rules"][0].update(segment="Renamed"))
    body["segmentation"]["rules_path"] = path
    conf = tmp_path / "conf.json"
    conf.write_text(json.dumps(body))
    assert prove_rules(["--conf", str(conf)]) == 2  # proven, but the plan names a segment that is gone
    out, err = capsys.readouterr()
    assert f"Rules: {path}" in out and "Proven" in out
    assert "Seg15_plus_1" in err
    conf.write_text(text)
    assert prove_rules(["--conf", str(conf)]) == 0
    assert "built in" in capsys.readouterr().out
