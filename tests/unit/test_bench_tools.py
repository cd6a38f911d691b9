"""What the benchmark judges by: files compared a few columns at a time, exact differences, sections of the results."""

import json
from pathlib import Path

import pandas as pd

import compare
import report
from blitz_sample.generate import write_sample
from exact import exact_differences
from load import unbalanced


def frame(rows: int = 50) -> pd.DataFrame:
    columns = {f"c{at}": range(at, at + rows) for at in range(3 * compare.AT_ONCE)}
    names = pd.Series([["a", "b"]] * rows)
    return pd.DataFrame({"id": range(rows), **columns, "names": names, "share": [number / 3 for number in range(rows)]})


def in_file(table: pd.DataFrame, path: Path) -> str:
    table.to_parquet(path, index=False)
    return str(path)


def test_files_are_compared_in_every_column_whatever_the_order_of_rows(tmp_path):
    good = in_file(frame(), tmp_path / "good")
    turned = frame().sample(frac=1, random_state=1)
    nearly = turned.assign(share=turned["share"] * (1 + 1e-12))
    assert compare.file_differences(good, in_file(nearly, tmp_path / "nearly"), ["id"], ordered_columns=True) == []
    wrong = turned.assign(c1=turned["c1"].where(turned["id"] != 7, 0), c23=turned["c23"].where(turned["id"] > 1, 0))
    wrong["names"] = [["b", "a"] if at == 3 else names for at, names in zip(wrong["id"], wrong["names"], strict=True)]
    assert compare.file_differences(good, in_file(wrong, tmp_path / "wrong"), ["id"]) == [
        "c1: 1 of 50 rows differ",
        "c23: 2 of 50 rows differ",
        "names: 1 of 50 rows differ",
    ]


def test_files_with_other_columns_rows_or_keys_are_not_equal(tmp_path):
    good = in_file(frame(), tmp_path / "good")
    less = in_file(frame().drop(columns="c3"), tmp_path / "less")
    assert compare.file_differences(good, less, ["id"]) == ["columns missing: ['c3'], too many: []"]
    assert compare.file_differences(good, in_file(frame(49), tmp_path / "few"), ["id"]) == ["49 rows instead of 50"]
    other = in_file(frame().assign(id=range(1, 51)), tmp_path / "other")
    assert compare.file_differences(good, other, ["id"]) == ["id: 50 of 50 rows differ"]


def test_exact_differences_are_found_in_every_column_whatever_the_order_of_rows(tmp_path):
    good = in_file(frame(), tmp_path / "good")
    turned = frame().sample(frac=1, random_state=1)
    parts = tmp_path / "parts"
    parts.mkdir()
    for at in (0, 20):
        in_file(turned.iloc[at : at + 20 + at], parts / f"{at}.parquet")
    assert exact_differences(good, str(parts), ["id"]) == []
    wrong = turned.assign(share=turned["share"] * (1 + 1e-15), c1=turned["c1"].where(turned["id"] != 7))
    kinds = in_file(wrong, tmp_path / "kinds")  # a null makes c1 a number
    assert exact_differences(good, kinds, ["id"]) == ["columns of other types"]
    swapped = turned.assign(c1=turned["c1"].replace({3: 4, 4: 3}), share=wrong["share"])
    swapped["names"] = [
        ["b", "a"] if at == 3 else names for at, names in zip(turned["id"], turned["names"], strict=True)
    ]
    found = exact_differences(good, in_file(swapped, tmp_path / "swapped"), ["id"])
    assert found == ["c1: differs", "names: differs", "share: differs"]
    small = turned.iloc[20:].astype({"c2": "int32"})
    in_file(small, parts / "20.parquet")  # one file of two
    assert exact_differences(good, str(parts), ["id"]) == ["columns of other types"]
    fewer = in_file(frame(49), tmp_path / "fewer")
    assert exact_differences(good, fewer, ["id"]) == ["49 rows instead of 50"]
    less = in_file(frame().drop(columns="c3"), tmp_path / "less")
    assert exact_differences(good, less, ["id"]) == ["columns missing: ['c3'], too many: []"]
    moved = in_file(frame()[list(frame())[::-1]], tmp_path / "moved")
    assert exact_differences(good, moved, ["id"]) == ["columns in another order"]


def test_a_section_of_the_results_is_replaced_and_the_rest_stays(tmp_path):
    path = tmp_path / "RESULTS.md"
    path.write_text("# By hand\n")
    for section, text in (("one", "first"), ("two", "other"), ("one", "second")):
        report.put(section, text, path)
    body = path.read_text()
    assert body.startswith("# By hand\n") and "first" not in body
    assert body.index("second") < body.index("other") < body.index("end of two")


def test_skewed_samples_have_one_great_store_and_one_great_customer(tmp_path):
    write_sample(20_000, 7, str(tmp_path), with_models=False, skewed=True)
    orders = pd.read_parquet(tmp_path / "sales", columns=["id", "store_id_id"])
    assert 0.49 < orders["store_id_id"].value_counts(normalize=True).iloc[0] < 0.52
    mapping = pd.read_csv(tmp_path / "received_over_email/customer_invoice_mapping.csv", dtype=str)
    per_customer = mapping["customer_code_ty"].value_counts()
    assert per_customer.iloc[0] > 5_000 and per_customer.iloc[1] < 1_000  # every other order of the own app


def test_a_manifest_whose_rows_do_not_add_up_is_named(tmp_path):
    path = tmp_path / "manifest.json"
    account = {"table": "orders", "read": 10, "kept": 7, "dropped": {"duplicate": 2, "no_customer": 1}}
    for kept, wrong in ((7, ""), (6, "rows do not add up: orders")):
        path.write_text(json.dumps({"steps": {"ownapp": {"accounts": [account | {"kept": kept}]}}}))
        assert unbalanced(path) == wrong
