"""Fitting clusters and sampling strata, without an engine."""

import numpy as np
import pytest

from blitz.errors import InputError
from blitz.training.fitting import fit
from blitz.training.sampling import allocate


def test_too_few_different_rows_are_refused():
    with pytest.raises(InputError, match="plan plain: the sample has only 2 distinct rows"):
        fit(np.repeat([[0.0, 1.0], [1.0, 0.0]], 50, axis=0), (2, 3), 0, "plain")


def test_equal_rows_and_constant_columns_do_no_harm():
    rows = np.repeat([[0.0, 1.0, 7.0], [1.0, 0.0, 7.0]], [20, 80], axis=0)
    fitted = fit(rows, (2,), 0, "plain")
    assert fitted.kmeans.labels_.tolist() == [1] * 20 + [0] * 80
    assert fitted.silhouettes == {2: pytest.approx(1.0)}


@pytest.mark.parametrize(
    ("counts", "most", "expected"),
    [
        ({"a": 10, "b": 20}, 100, {"a": 10, "b": 20}),
        ({"a": 10, "b": 500, "c": 700}, 110, {"a": 10, "b": 50, "c": 50}),
        ({"a": 0, "b": 7}, 5, {"a": 0, "b": 5}),
        ({"a": 9, "b": 9}, 5, {"a": 2, "b": 3}),
    ],
)
def test_small_strata_give_all_and_the_large_share_the_rest(counts, most, expected):
    assert allocate(counts, most) == expected
