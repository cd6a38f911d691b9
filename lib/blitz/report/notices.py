"""The warnings of a report: what to know before trusting the numbers."""

from collections.abc import Iterator

from blitz.accounts import REJECTED, Reason
from blitz.report.numbers import CHANNEL_NAMES
from blitz.run.steps import STEPS
from blitz.segmentation.rules import RuleSet, rules_hash
from blitz.text import JsonObject

MANY_UNMAPPED, MANY_WITHOUT_CUSTOMER, MANY_WITHOUT_STORE = 0.05, 0.25, 0.05
_CONFLICTS = {
    "customer_conflicts": "orders with several customers in the customer mapping; the smallest id was used",
    "store_codes_conflicts": "MDS IDs with several DSR codes; the smallest was used",
    "stores_conflicts": "store codes with conflicting rows in the store master; the first was used",
    "categories_conflicts": "items with several categories; the first was used",
}


def notices(numbers: JsonObject, facts: JsonObject, rules: RuleSet) -> list[str]:
    """Return the warnings, one sentence each, without repeats."""
    return list(
        dict.fromkeys([*_parts(facts, rules, numbers), *_accounts(numbers), *_empty(numbers), *facts["warnings"]])
    )


def _parts(facts: JsonObject, rules: RuleSet, numbers: JsonObject) -> Iterator[str]:
    missing = [step for step in STEPS if step not in facts["steps"]]
    if missing:
        yield f"There is no manifest of {', '.join(missing)}: their rows and losses are not shown."
    if len({each["config_hash"] for each in facts["steps"].values()}) > 1:
        yield "The outputs were computed with different settings or run dates: run all steps again."
    used = facts["steps"].get("segments", {}).get("rules")
    if used and used != rules_hash(rules):
        yield "The segments were computed with other rules than those of the config: the rules shown may be wrong."
    lost = numbers["customers"]["without_features"]
    if lost:
        yield f"{lost:,} customers have a segment but no features: the customer features are newer than the segments."


def _accounts(numbers: JsonObject) -> Iterator[str]:
    listed = set()
    quarantine = {each["step"]: each["quarantine"] for each in numbers["run"]["steps"]}
    for each in numbers["funnel"]:
        what = f"{CHANNEL_NAMES.get(each['step'], each['step'])} {each['table']}"
        lost = {row["reason"]: row for row in each["dropped"]}
        rejected = sum(lost[name]["rows"] for name in REJECTED if name in lost)
        if rejected and quarantine.get(each["step"]):
            yield f"{what}: {rejected:,} rows could not be read; they are in {quarantine[each['step']]}."
        elif rejected:
            yield f"{what}: {rejected:,} rows could not be used."
        for reason, most, advice in (
            (Reason.UNMAPPED, MANY_UNMAPPED, "have no category; see To fix"),
            (Reason.NO_CUSTOMER, MANY_WITHOUT_CUSTOMER, "have no customer in the customer mapping"),
        ):
            if reason in lost and lost[reason]["share"] > most:
                yield f"{what}: {lost[reason]['rows']:,} rows ({lost[reason]['share']:.1%}) {advice}."
        for name, count in each["notes"].items():
            if name in _CONFLICTS and (name, count) not in listed:
                listed.add((name, count))
                where = f"{what}: " if name == "customer_conflicts" else ""
                yield f"{where}{count:,} {_CONFLICTS[name]}."


def _empty(numbers: JsonObject) -> Iterator[str]:
    empty = [each["name"] for band in numbers["bands"] for each in band["segments"] if not each["customers"]]
    if empty:
        yield f"No customers in {', '.join(empty)}."
    plans = [each["name"] for each in numbers["plans"] if not each["customers"]]
    if plans:
        yield f"No customers in the micro-segmentation of {', '.join(plans)}."
    stores = numbers["stores"]
    if stores["share"] > MANY_WITHOUT_STORE:
        share = f"{stores['share']:.1%}"
        yield f"{stores['orders']:,} orders ({share}) are from stores with an incomplete description; see To fix."
