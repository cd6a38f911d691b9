"""Cut points of learned rules: where 32-bit numbers round over, and between two whole numbers."""

import numpy as np
import pytest

from blitz.training.trees import cut_of, last_left


@pytest.mark.parametrize("threshold", [37.3, 0.1, 1e-3, 2.5, 16777216.5, -37.3, 1 / 3, 0.0])
def test_the_cut_is_where_32_bits_round_over(threshold):
    last = last_left(threshold)
    after = np.nextafter(last, np.inf)
    assert float(np.float32(last)) <= threshold < float(np.float32(after))


def test_whole_numbers_are_cut_between_two():
    assert cut_of(2.5, True) == 2.5
    assert cut_of(3.0, True) == 3.5
    assert cut_of(np.nextafter(5.0, 0), True) == 4.5
