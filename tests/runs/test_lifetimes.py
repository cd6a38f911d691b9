"""The CLV inputs of the scores are what lifetimes itself computes from the same orders, for every customer."""

import warnings

import pandas as pd
import pytest

import compare

pytestmark = pytest.mark.engines
CHANNELS = ("ownapp", "swiggy", "instore")


@pytest.mark.usefixtures("sample_run")
def test_lifetime_inputs_are_those_of_lifetimes(sample_config) -> None:
    from lifetimes.utils import summary_data_from_transaction_data

    paths, common = compare.output_paths(sample_config), sample_config["feature_pipeline"]["common"]
    orders = []
    for name in CHANNELS:
        frame = compare.read(paths[name], ["algonomy_id", "order_placed_datetime", "total_price"])
        local = frame["order_placed_datetime"].dt.tz_convert(common["timezone"]).dt.tz_localize(None)
        orders.append(frame.assign(local=local))
    transactions = pd.concat(orders, ignore_index=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a pandas newer than lifetimes
        expected = summary_data_from_transaction_data(
            transactions,
            "algonomy_id",
            "local",
            "total_price",
            freq="D",
            observation_period_end=pd.Timestamp(common["current_run_date"]) - pd.Timedelta(days=1),
        )
    found = compare.read(paths["scores"]).set_index("algonomy_id")
    columns = dict(
        zip(["clv_frequency", "clv_recency_days", "clv_t_days", "clv_monetary_value"], expected, strict=True)
    )
    assert list(columns.values()) == ["frequency", "recency", "T", "monetary_value"]
    assert len(found) > 100 and (found["clv_frequency"] == 0).any()
    for ours, theirs in columns.items():
        other = expected.loc[found.index, theirs]
        pd.testing.assert_series_equal(
            found[ours].astype(float), other, check_names=False, rtol=1e-12, atol=1e-9, obj=ours
        )
