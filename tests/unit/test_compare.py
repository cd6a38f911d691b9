"""The comparison of tables that other tests rely on notices every kind of difference."""

from typing import Any

import pandas as pd
import pytest

import compare
import pandas_pipeline


@pytest.fixture(scope="module")
def expected(sample_config: dict[str, Any]) -> dict[str, pd.DataFrame]:
    return pandas_pipeline.run(sample_config)


FRAME = pd.DataFrame(
    {
        "k": [1, 2, 3],
        "id": [5_000_000_001, 5_000_000_002, 5_000_000_003],
        "n": [1.5, None, 3.0],
        "t": ["a", None, "c"],
        "b": [True, False, True],
        "at": pd.to_datetime(["2025-01-01", "2025-01-02", None]),
        "l": [["x", "y"], [], ["y", "z"]],
    }
)


def test_the_comparison_takes_rows_in_any_order_and_fractions_within_a_billionth():
    shuffled = FRAME.sample(frac=1, random_state=1)
    assert compare.differences(FRAME, shuffled, ["k"]) == []
    assert compare.differences(FRAME, shuffled.assign(n=shuffled["n"] * (1 + 1e-12)), ["k"]) == []


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("id", [5_000_000_001, 5_000_000_002, 5_000_000_004]),  # as doubles within a billionth of each other
        ("n", [1.5 + 1e-8, None, 3.0]),
        ("n", [1.5, 0.0, 3.0]),
        ("t", ["a", "", "c"]),
        ("b", [True, False, False]),
        ("at", pd.to_datetime(["2025-01-01", "2025-01-02 00:00:00.000001", None], format="ISO8601")),
        ("l", [["x", "y"], [], ["z", "y"]]),
        ("l", [["x", "y"], None, ["y", "z"]]),
    ],
)
def test_the_comparison_notices_a_changed_cell(column, values):
    changed = FRAME.assign(**{column: values})
    assert compare.differences(FRAME, changed, ["k"]) == [f"{column}: 1 of 3 rows differ"]
    assert compare.differences(changed, FRAME, ["k"]) == [f"{column}: 1 of 3 rows differ"]


def test_the_comparison_notices_other_columns_rows_and_kinds():
    def found(changed: pd.DataFrame) -> list[str]:
        return compare.differences(FRAME, changed, ["k"])

    assert found(FRAME.drop(columns="n")) == ["columns missing: ['n'], too many: []"]
    assert found(FRAME.assign(z=1)) == ["columns missing: [], too many: ['z']"]
    assert found(FRAME.iloc[:2]) == ["2 rows instead of 3"]
    assert found(FRAME.assign(k=[1, 1, 3])) == ["k: repeated in 1 rows, 0 of them expected"]
    assert found(FRAME.assign(id=FRAME["id"].astype(float))) == ["id: number instead of integer"]
    assert found(FRAME.assign(b=[1, 0, 1])) == ["b: integer instead of flag"]
    assert found(FRAME.assign(at=FRAME["at"].dt.tz_localize("UTC"))) == ["at: instant instead of local time"]
    assert found(FRAME.assign(t=[1, None, 2])) == ["t: number instead of text"]


def test_integers_with_nulls_are_the_same_integers_when_pandas_holds_them_as_doubles():
    nullable = pd.DataFrame({"k": [1, 2, 3], "v": pd.array([0, None, 1], dtype="Int64")})
    doubles = nullable.assign(v=[0.0, None, 1.0])
    assert compare.differences(nullable, doubles, ["k"]) == []
    assert compare.differences(nullable, doubles.assign(v=[0.0, None, 0.0]), ["k"]) == ["v: 1 of 3 rows differ"]
