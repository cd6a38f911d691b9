"""Each gate trips just beyond its limit and not at it; a first run says that there is nothing to compare with."""

from datetime import date

import pytest

from blitz.accounts import Account
from blitz.config.models import Gates
from blitz.errors import GateError
from blitz.pipelines.gates import channel_verdicts, customer_verdict, described, enforce

RUN_DATE = date(2025, 7, 1)
BUSY_DAYS = (20,) * 35


def orders(kept=80, **dropped):
    return Account("orders", kept + sum(dropped.values()), kept, dropped)


def states(account=None, days=BUSY_DAYS, before=None, **gates):
    verdicts = channel_verdicts("swiggy", account or orders(), days, RUN_DATE, Gates(**gates), before)
    return {verdict.gate: verdict for verdict in verdicts}


@pytest.mark.parametrize(
    ("account", "state"),
    [
        (orders(0, no_customer=3), "stopped"),
        (orders(1, no_customer=3), "passed"),
        (orders(0, outside_window=3, bad_record=1, bad_timestamp=1, excluded_store=2), "passed"),
        (orders(0), "passed"),
    ],
)
def test_a_channel_with_orders_in_the_window_that_keeps_none(account, state):
    verdict = states(account)["empty_channel"]
    assert verdict.state == state
    assert state == "passed" or verdict.message == "swiggy: 3 orders in the window, 0 kept (no_customer 3)"
    assert states(account, empty_channel=None)["empty_channel"].state == "skipped"


@pytest.mark.parametrize(("empty_days", "state"), [(6, "passed"), (7, "stopped"), (35, "stopped")])
def test_freshness(empty_days, state):
    days = (1,) * (35 - empty_days) + (0,) * empty_days
    assert states(days=days)["freshness_days"].state == state
    assert states(days=days, freshness_days=None)["freshness_days"].state == "skipped"
    assert states(orders(0, outside_window=9), days=days)["freshness_days"].state == "skipped"
    if empty_days < 35:
        assert states(days=days, freshness_days=8)["freshness_days"].state == "passed"


@pytest.mark.parametrize(("without", "state"), [(30, "passed"), (31, "stopped"), (0, "passed")])
def test_the_share_of_orders_without_a_customer(without, state):
    before = {
        "accounts": [
            {"table": "orders", "kept": 80, "dropped": {"no_customer": 10, "not_ownapp_user": 10, "duplicate": 500}}
        ]
    }
    account = orders(100 - without, no_customer=without, outside_window=1000)
    assert states(account, before=before)["no_customer_rise"].state == state
    assert states(account, before=before, no_customer_rise=None)["no_customer_rise"].state == "skipped"
    first = states(account)["no_customer_rise"]
    assert (first.state, "no previous manifest" in first.message) == ("skipped", True)


@pytest.mark.parametrize(("customers", "state"), [(50, "passed"), (49, "stopped"), (200, "passed")])
def test_fewer_customers(customers, state):
    assert customer_verdict(customers, Gates(), {"rows": 100}).state == state
    assert customer_verdict(customers, Gates(fewer_customers=None), {"rows": 100}).state == "skipped"
    first = customer_verdict(customers, Gates(), None)
    assert (first.state, "no previous manifest" in first.message) == ("skipped", True)


@pytest.mark.parametrize(
    ("per_day", "how", "state"),
    [
        ((20,) * 34 + (0,), "warning", "warned"),
        ((20,) * 34 + (0,), "stop", "stopped"),
        ((20,) * 34 + (0,), None, "skipped"),
        ((19,) * 34 + (0,), "stop", "passed"),
        ((20,) * 34 + (1,), "stop", "passed"),
    ],
)
def test_days_without_orders(per_day, how, state):
    verdict = states(days=per_day, missing_days=how)["missing_days"]
    assert verdict.state == state
    if state in ("warned", "stopped"):
        assert verdict.message == "swiggy: no order on 2025-06-30; the median day has 20"


def test_every_gate_that_stops_is_listed_with_its_numbers_and_its_key():
    found = states(orders(0, no_customer=3), (20,) * 6 + (0,) * 29)
    with pytest.raises(GateError) as caught:
        enforce(found.values())
    message = str(caught.value)
    assert caught.value.exit_code == 3
    assert "3 orders in the window, 0 kept (no_customer 3) (run.gates.empty_channel)" in message
    assert "2025-06-01, 30 days before the run date 2025-07-01; the limit is 7 (run.gates.freshness_days)" in message


def test_the_manifest_gets_every_verdict_and_a_plan_every_limit():
    assert [set(each) for each in enforce(states().values())] == [{"gate", "state", "message"}] * 4
    assert dict(described(Gates(freshness_days=None)))["freshness_days"] == "off"
    assert dict(described(Gates()))["fewer_customers"] == "over 50% of the customers are gone"
