"""Run a refresh: the steps of a run, with order features that keep the rows of unchanged orders.

``blitz.refresh.plan`` decides what is computed, ``blitz.refresh.channel`` computes it.
"""

from collections.abc import Iterable
from datetime import date

from pyspark.sql import SparkSession

from blitz.config import Config
from blitz.pipelines.context import RunContext, StepResult
from blitz.pipelines.orders import order_settings
from blitz.pipelines.outputs import RunOutputs, StagedStep
from blitz.raw.channels import CHANNELS, USER_CHANNEL, channel_of
from blitz.raw.inputs import RawInputs
from blitz.raw.tables import RawTable
from blitz.refresh.channel import ChannelRefresh, remove_unnamed
from blitz.refresh.mapping import MappingPlan, MappingRows, copy_mapping, plan_mapping
from blitz.refresh.plan import ChannelInputs, Plan, Unchanged, fingerprints, plan_channel
from blitz.refresh.state import (
    ChannelState,
    OutputFile,
    Window,
    folder_name,
    keep_only,
    output_files,
    read_state,
    state_folder,
)
from blitz.refresh.users import OwnAppUsers
from blitz.run.execute import run_steps
from blitz.run.steps import Preflight, Work
from blitz.spark.session import configure


def refresh(
    config: Config, spark: SparkSession, ready: Preflight, context: RunContext, since: date | None = None
) -> list[StepResult]:
    """Run the steps of ``ready`` with refreshed order features.

    ``since``: orders before this local day did not change, even where raw files were rewritten or removed. Raises as
    ``run_steps`` does.
    """
    raw = ready.inputs
    if raw is None or not raw.orders:
        return run_steps(config, spark, ready, context)
    configure(spark)
    states, users_path = _states(config), _outputs(config)[USER_CHANNEL.name]
    mapping_folder, users_folder = (state_folder(users_path, name) for name in ("customer_mapping", "users"))
    try:
        plan = _plan_mapping(config, raw, states.values())
        folder = f"{mapping_folder}/{context.run_id}"
        copied = copy_mapping(spark, plan, folder)
        mapping = MappingRows(spark, copied, folder, has_erased=not raw.suppression.is_empty)
        copies = [state.users for state in states.values() if state.users]
        outputs = RunOutputs(spark, context)
        users = OwnAppUsers(spark, outputs, users_path, f"{users_folder}/{context.run_id}", copies)

        def run_channel(name: str, work: Work) -> StagedStep:
            return ChannelRefresh(
                config,
                spark,
                context,
                channel_of(name, config.feature_pipeline.common.business_day_minutes),
                raw,
                channel_inputs(config, raw, name, plan, users.source()),
                mapping,
                users,
                work.staging,
                outputs,
                ready.before.get(name),
            ).stage(since)

        return run_steps(config, spark, ready, context, run_channel, outputs)
    finally:
        for name in raw.orders:
            remove_unnamed(state_folder(_outputs(config)[name], name), context.run_id)
        after = _states(config).values()
        keep_only(users_folder, {folder_name(state.users.folder) for state in after if state.users})
        keep_only(mapping_folder, {folder_name(part.folder) for state in after for part in state.mapping.parts})


def plan_refresh(config: Config, ready: Preflight, since: date | None = None) -> dict[str, Plan]:
    """Return what a refresh would do with each channel of ``ready``; no engine, nothing is written.

    A channel that follows own app in the same run is planned with own-app users that may change, unless own app stays
    as it is.
    """
    plans: dict[str, Plan] = {}
    if ready.inputs is None:
        return plans
    states = _states(config)
    mapping = _plan_mapping(config, ready.inputs, states.values())
    for name in ready.inputs.orders:
        is_fixed = isinstance(plans.get(USER_CHANNEL.name, Unchanged()), Unchanged)
        users_source = output_files(_outputs(config)[USER_CHANNEL.name]) if is_fixed else None
        inputs = channel_inputs(config, ready.inputs, name, mapping, users_source)
        plans[name] = plan_channel(states.get(name), inputs, since)
    return plans


def channel_inputs(
    config: Config,
    inputs: RawInputs,
    channel: str,
    mapping: MappingPlan,
    users_source: tuple[OutputFile, ...] | None,
) -> ChannelInputs:
    """Return what the order features of a channel depend on now (``ChannelInputs``)."""
    settings = order_settings(config.feature_pipeline)
    return ChannelInputs(
        fingerprints(config.feature_pipeline, settings, channel, inputs.mappings(), inputs.suppression),
        Window(settings.start, settings.end),
        raw_tables(inputs, channel),
        output_files(_outputs(config)[channel]),
        mapping,
        users_source,
    )


def raw_tables(inputs: RawInputs, channel: str) -> dict[str, RawTable]:
    """Return the raw tables of a channel by name: ``orders``, ``lines``, and ``queries`` where it has any."""
    tables = {"orders": inputs.orders[channel], "lines": inputs.lines[channel]}
    return tables | ({"queries": inputs.queries[channel]} if channel in inputs.queries else {})


def _outputs(config: Config) -> dict[str, str]:
    """The path of each channel's order features."""
    return {name: config.feature_pipeline.channel(name).output_path for name in CHANNELS}


def _states(config: Config) -> dict[str, ChannelState]:
    """The states of the channels that have one."""
    found = {name: read_state(f"{state_folder(path, name)}/state.json") for name, path in _outputs(config).items()}
    return {name: state for name, state in found.items() if state}


def _plan_mapping(config: Config, inputs: RawInputs, states: Iterable[ChannelState]) -> MappingPlan:
    copies = [state.mapping for state in states]
    timezone = config.feature_pipeline.common.timezone
    return plan_mapping(inputs.customer_mapping, timezone, copies, suppression=inputs.suppression)
