"""Gates: numbers that stop a run before it publishes (docs/contract.md, section 8).

A gate compares what a step counted with the config's limits and with the previous manifest. Without a previous
manifest there is nothing to compare with, and the gate says so.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from statistics import median
from typing import Any

from blitz.accounts import Account
from blitz.config import Config
from blitz.config.models import Gates
from blitz.errors import GateError
from blitz.features.days import orders_per_day
from blitz.features.orders import ROW_REASONS

log = logging.getLogger(__name__)

BUSY = 20  # orders of the median day, from which on a day without any is conspicuous
PASSED, STOPPED, WARNED, SKIPPED = "passed", "stopped", "warned", "skipped"


@dataclass(frozen=True)
class Verdict:
    """What a gate found: ``gate`` is its key in ``run.gates``, ``state`` one of passed, stopped, warned and skipped."""

    gate: str
    state: str
    message: str


def channel_verdicts(
    channel: str,
    orders: Account,
    per_day: Sequence[int],
    run_date: date,
    gates: Gates,
    before: Mapping[str, Any] | None,
) -> list[Verdict]:
    """The verdicts over the order features of a channel.

    ``per_day``: the orders on each of the last days of the window, the oldest first; ``before``: the channel's step in
    the previous manifest.
    """
    return [
        _empty_channel(channel, orders, gates),
        _freshness(channel, orders, per_day, run_date, gates),
        _no_customer_rise(channel, orders, gates, before),
        _missing_days(channel, per_day, run_date, gates),
    ]


def customer_verdict(customers: int, gates: Gates, before: Mapping[str, Any] | None) -> Verdict:
    """The verdict over the customer table; ``before``: its step in the previous manifest."""
    gate = "fewer_customers"
    if gates.fewer_customers is None:
        return _off(gate)
    if before is None:
        return Verdict(gate, SKIPPED, "no previous manifest: nothing to compare with")
    had = int(before["rows"])
    lost = 1 - customers / had if had else 0.0
    text = f"{customers:,} customers, {had:,} in the previous manifest"
    is_tripped = round(lost - gates.fewer_customers, 9) > 0
    return _judge(gate, is_tripped, f"{text} ({max(lost, 0):.1%} fewer)", gates.fewer_customers)


def enforce(verdicts: Iterable[Verdict]) -> list[dict[str, str]]:
    """The verdicts as the manifest has them. Logs warnings; raises GateError listing every gate that stops the run."""
    verdicts = list(verdicts)
    for verdict in verdicts:
        log.log(
            logging.WARNING if verdict.state == WARNED else logging.INFO, "gate %s: %s", verdict.gate, verdict.message
        )
    stopped = [verdict for verdict in verdicts if verdict.state == STOPPED]
    if stopped:
        raise GateError([f"{verdict.message} (run.gates.{verdict.gate})" for verdict in stopped])
    return [asdict(verdict) for verdict in verdicts]


def channel_gate(
    config: Config,
    channel: str,
    before: Mapping[str, Any] | None,
    unchanged_per_day: Callable[[], Sequence[int]] | None = None,
) -> Callable[[Account, Mapping[str, int], int], list[dict[str, str]]]:
    """What enforces the gates over the order features of a channel.

    Args:
        config: the config.
        channel: the channel.
        before: the channel's step in the previous manifest.
        unchanged_per_day: of a refresh, the orders on each of the last days whose rows stay as they are.

    Returns a function of the account of the orders, the counts of ``order_features`` and the number of staged rows,
    those that stay included. It returns the verdicts as the manifest has them; raises GateError.
    """
    run_date, limits = config.feature_pipeline.common.current_run_date, config.run.gates

    def check(orders: Account, counts: Mapping[str, int], rows: int) -> list[dict[str, str]]:
        unchanged = max(rows - orders.kept, 0)
        per_day = orders_per_day(counts)
        if unchanged_per_day:
            per_day = tuple(map(sum, zip(per_day, unchanged_per_day(), strict=True)))
        everything = replace(orders, read=orders.read + unchanged, kept=orders.kept + unchanged)
        return enforce(channel_verdicts(channel, everything, per_day, run_date, limits, before))

    return check


def check_customers(config: Config, before: Mapping[str, Any] | None, customers: int) -> list[dict[str, str]]:
    """Enforce the gate over the customer table."""
    return enforce([customer_verdict(customers, config.run.gates, before)])


def described(gates: Gates) -> list[tuple[str, str]]:
    """Each gate and its limit in words, for the plan of a run."""
    limits: list[tuple[str, Any, Callable[[Any], str]]] = [
        ("empty_channel", gates.empty_channel or None, lambda _: "a channel has orders in the window and keeps none"),
        ("freshness_days", gates.freshness_days, lambda days: f"a channel's newest order is more than {days} days old"),
        (
            "no_customer_rise",
            gates.no_customer_rise,
            lambda share: f"orders without a customer rise by over {share:.0%}",
        ),
        ("fewer_customers", gates.fewer_customers, lambda share: f"over {share:.0%} of the customers are gone"),
        ("missing_days", gates.missing_days, lambda how: f"a busy channel has a day without orders: {how}"),
    ]
    return [(name, "off" if limit is None else words(limit)) for name, limit, words in limits]


def _empty_channel(channel: str, orders: Account, gates: Gates) -> Verdict:
    gate = "empty_channel"
    if not gates.empty_channel:
        return _off(gate)
    in_window = _in_window(orders)
    why = ", ".join(f"{name} {count:,}" for name, count in orders.dropped.items() if count and name not in ROW_REASONS)
    text = f"{channel}: {in_window:,} orders in the window, {orders.kept:,} kept" + (f" ({why})" if why else "")
    return _judge(gate, in_window > 0 and orders.kept == 0, text)


def _freshness(channel: str, orders: Account, per_day: Sequence[int], run_date: date, gates: Gates) -> Verdict:
    gate = "freshness_days"
    if gates.freshness_days is None:
        return _off(gate)
    if not _in_window(orders):
        return Verdict(gate, SKIPPED, f"{channel}: no orders in the window")
    age = next((age for age, count in enumerate(reversed(per_day), start=1) if count), None)
    if age is None:
        text = f"{channel}: the newest order is more than {len(per_day)} days before the run date {run_date}"
        return _judge(gate, True, text, gates.freshness_days)
    text = (
        f"{channel}: the newest order is of {run_date - timedelta(days=age)}, {age} days before the run date {run_date}"
    )
    return _judge(gate, age > gates.freshness_days, text, gates.freshness_days)


def _in_window(orders: Account) -> int:
    return orders.read - sum(orders.dropped.get(name, 0) for name in ROW_REASONS)


def _no_customer_rise(channel: str, orders: Account, gates: Gates, before: Mapping[str, Any] | None) -> Verdict:
    gate = "no_customer_rise"
    if gates.no_customer_rise is None:
        return _off(gate)
    if before is None:
        return Verdict(
            gate, SKIPPED, f"{channel}: no previous manifest: cannot compare the share of orders without a customer"
        )
    account = next((each for each in before.get("accounts", []) if each["table"] == "orders"), None)
    if account is None or before.get("refresh", {}).get("computed", "all") != "all":
        return Verdict(gate, SKIPPED, f"{channel}: the previous manifest is of a refresh that did not count all orders")
    now = _share_without_customer(orders.kept, orders.dropped)
    then = _share_without_customer(account["kept"], account["dropped"])
    text = f"{channel}: {now:.1%} of the orders have no customer, {then:.1%} in the previous manifest"
    return _judge(gate, round(now - then - gates.no_customer_rise, 9) > 0, text, gates.no_customer_rise)


def _share_without_customer(kept: int, dropped: Mapping[str, int]) -> float:
    without = dropped.get("no_customer", 0)
    orders = kept + without + dropped.get("erased", 0) + dropped.get("not_ownapp_user", 0)
    return without / orders if orders else 0.0


def _missing_days(channel: str, per_day: Sequence[int], run_date: date, gates: Gates) -> Verdict:
    gate = "missing_days"
    if gates.missing_days is None:
        return _off(gate)
    first = run_date - timedelta(days=len(per_day))
    missing = [first + timedelta(days=at) for at, count in enumerate(per_day) if count == 0]
    usual = median(per_day) if per_day else 0
    if usual < BUSY or not missing:
        return Verdict(
            gate,
            PASSED,
            f"{channel}: {len(missing)} of the last {len(per_day)} days without orders, median {usual:g}",
        )
    named = ", ".join(map(str, missing[:5])) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
    text = f"{channel}: no order on {named}; the median day has {usual:g}"
    return Verdict(gate, STOPPED if gates.missing_days == "stop" else WARNED, text)


def _judge(gate: str, is_tripped: bool, text: str, limit: object = None) -> Verdict:
    named = f"{text}; the limit is {limit}" if limit is not None and is_tripped else text
    return Verdict(gate, STOPPED if is_tripped else PASSED, named)


def _off(gate: str) -> Verdict:
    return Verdict(gate, SKIPPED, "off")
