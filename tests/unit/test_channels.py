"""The table of channels: every column that a channel names is one that its files or its output have."""

import dataclasses

import pytest

from blitz.config.models import Customer, DeliveryChannel, FeaturePipeline, InstoreChannel
from blitz.raw.channels import CHANNELS, USER_CHANNEL, Channel
from blitz.raw.specs import CATEGORIES, CHOICES, CUSTOMER_MAPPING, Kind, TableSpec

ALL = pytest.mark.parametrize("channel", CHANNELS.values(), ids=CHANNELS)


def kinds(spec: TableSpec) -> dict[str, Kind]:
    return {field.name: field.kind for field in spec.fields}


def test_own_app_comes_first_and_defines_the_users() -> None:
    assert list(CHANNELS) == ["ownapp", "swiggy", "instore"]
    assert USER_CHANNEL is CHANNELS["ownapp"]
    assert [name for name, channel in CHANNELS.items() if channel.defines_users] == ["ownapp"]


@ALL
def test_a_channel_names_columns_of_its_tables(channel: Channel) -> None:
    orders, lines = kinds(channel.orders), kinds(channel.lines)
    assert {*channel.key_columns, channel.time, channel.amount, channel.store, channel.net_price} <= orders.keys()
    assert {*channel.line_key_columns, channel.item, channel.quantity, channel.price} <= lines.keys()
    assert set(channel.mapping_key_columns) <= kinds(CUSTOMER_MAPPING).keys()
    assert channel.item in kinds(CATEGORIES) and {channel.header, channel.choice} <= kinds(CHOICES).keys()
    assert channel.orders.time == channel.time


@ALL
def test_the_facts_of_a_channel_agree_with_the_kinds_of_its_columns(channel: Channel) -> None:
    orders, lines = kinds(channel.orders), kinds(channel.lines)
    assert orders[channel.time] is (Kind.LOCAL if channel.times_are_local else Kind.INSTANT)
    code = Kind.CODE if channel.codes_are_text else Kind.ID
    assert {orders[channel.store], lines[channel.item], kinds(CATEGORIES)[channel.item]} == {code}
    assert channel.has_flags == ({"promo_item", "is_customized", "is_veg"} <= lines.keys())
    lengths = {len(names) for name, names in dataclasses.asdict(channel).items() if name.endswith("key_columns")}
    assert len(lengths) == 1  # the same key in orders, lines, mapping and output


@ALL
def test_each_channel_has_its_section_in_the_config(channel: Channel) -> None:
    section = FeaturePipeline.model_fields[channel.name].annotation
    assert section is (DeliveryChannel if channel.layout == "delivery" else InstoreChannel)
    assert f"{channel.name}_base_categs" in Customer.model_fields


def test_labels_in_the_order_in_which_they_are_joined() -> None:
    in_order = sorted(CHANNELS.values(), key=lambda channel: channel.label_place)
    assert [channel.label for channel in in_order] == ["OC", "Dine in", "Swiggy"]
    assert len({channel.label_place for channel in in_order}) == len(in_order)
