"""What rules say for readers: names of the shipped rules tell what the rules say; contradictions are refused."""

import json
from pathlib import Path

import pytest

from blitz.cli.main import main
from blitz.errors import RuleError
from blitz.segmentation.rules import Rule, about_segments, default_rules, load_rules

FLAG_WORDS = {  # flag: words where it is 0 and where it is 1
    "Weekend_flag": ("no weekends", "weekends"),
    "Weekday_flag": ("weekends only", "weekdays"),
    "Premium_price_flag": ("no premium prices", "premium prices"),
    "Lunch_flag": ("no lunch", "lunch"),
    "Late_Night_flag": ("no late night", "late night"),
    "Breakfast_flag": ("no breakfast", "breakfast"),
    "Evening_flag": ("no evening", "evening"),
}
BANDS = {"1_5": "1–5 orders", "6_15": "6–15 orders", "15_plus": "16+ orders"}


def words_of(rule: Rule) -> set[str]:
    """The words that a name must have, from the conditions of its rule."""
    found = set()
    for each in rule.conditions:
        low, high = each.greater_than, each.at_most
        if each.column in FLAG_WORDS:
            found.add(FLAG_WORDS[each.column][int(each.equals)])
        elif each.column == "channel_count":
            found.add("one channel" if high == 1.5 else "several channels")
        elif low is None:
            found.add(f"up to {int(high)} products")
        else:
            found.add(f"{int(low) + 1}–{int(high)} products" if high else f"{int(low) + 1}+ products")
    return found


def test_the_names_of_the_shipped_rules_say_what_the_rules_say() -> None:
    names = [about.name for about in about_segments(default_rules()).values()]
    assert len(set(names)) == len(names) == 27 and None not in names
    for band in default_rules().bands:
        for rule in band.rules:
            first, *parts = str(rule.name).split(", ")
            assert first == BANDS[band.name]
            said = set(" and ".join(parts).split(" and "))
            wanted = words_of(rule)
            if "weekends only" in wanted:
                wanted.discard("weekends")
            assert said == wanted, rule.segment


def rule_file(folder: Path, **fields: list[str | None]) -> str:
    """A rule file of two rules of one segment, with these values of the fields."""
    flags = [{"column": "Weekend_flag", "equals": at} for at in (0, 1)]
    rules = [
        {"segment": "S", "conditions": [flag], **{name: values[at] for name, values in fields.items() if values[at]}}
        for at, flag in enumerate(flags)
    ]
    path = folder / "rules.json"
    path.write_text(json.dumps({"bands": [{"name": "all", "rules": rules}]}))
    return str(path)


def test_one_rule_of_a_segment_may_say_what_holds_for_all(tmp_path: Path) -> None:
    path = rule_file(tmp_path, name=["Weekend people", None], action=[None, "write"], owner=["Ann", "Ann"])
    (about,) = about_segments(load_rules(path)).values()
    assert about.as_json() == {"name": "Weekend people", "action": "write", "owner": "Ann"}
    assert about.in_words() == "Weekend people; action: write; owner: Ann"


def test_two_names_of_one_segment_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match="segment S has several values of owner: 'Ann', 'Bob'"):
        load_rules(rule_file(tmp_path, owner=["Ann", "Bob"]))
    path = Path(rule_file(tmp_path, name=["x", None]))
    path.write_text(path.read_text().replace('"name": "x"', '"name": ""'))
    with pytest.raises(RuleError, match="name: String should have at least 1 character"):
        load_rules(str(path))


def test_prove_shows_what_rules_say_for_readers(tmp_path: Path, capsys) -> None:
    path = rule_file(tmp_path, name=["Weekend people", None], description=["They come twice.", None])
    assert main("prove_rules", [path]) == 0
    said = capsys.readouterr().out.splitlines()
    at = next(at for at, line in enumerate(said) if line.startswith("  S "))
    assert said[at + 1].strip() == "Weekend people; They come twice."
