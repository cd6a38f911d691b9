"""The steps of a run as one table: what each reads, where it writes, and how it runs.

Everything else about steps is computed from the table: their order, which run side by side, the outputs that must
exist before a run, where a run's results are, and how to resume a run that failed.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pyspark.sql import SparkSession

from blitz.config import Config
from blitz.errors import ConfigError
from blitz.pipelines import gates
from blitz.pipelines.context import RunContext
from blitz.pipelines.customers import CustomerFeaturePipeline
from blitz.pipelines.orders import OrderFeaturePipeline
from blitz.pipelines.outputs import RunOutputs, StagedStep
from blitz.pipelines.reader import Reader
from blitz.pipelines.scores import ScorePipeline
from blitz.pipelines.segmentation import SegmentRunner, score_columns
from blitz.raw.channels import CHANNELS, USER_CHANNEL, Channel
from blitz.raw.inputs import RawInputs
from blitz.raw.menu import Menu
from blitz.segmentation.payload import Payload
from blitz.segmentation.proof import Proof
from blitz.segmentation.rules import RuleSet
from blitz.spark.staging import Staging

Locate = Callable[[Config], str]


@dataclass(frozen=True)
class Preflight:
    """What was found and checked before the first job, and is handed to the steps: raw tables, rules, models, and
    ``before``, the steps of the previous manifests."""

    steps: tuple[str, ...]
    inputs: RawInputs | None = None
    menu: Menu | None = None
    rfm_rules: RuleSet | None = None
    rules: RuleSet | None = None
    proof: Proof | None = None
    payloads: Mapping[str, Payload] = field(default_factory=dict)
    before: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Work:
    """What a step works with: the config, the session, what was checked before, the run that it belongs to, and the
    frames and the outputs that steps of the run share."""

    config: Config
    spark: SparkSession
    ready: Preflight
    context: RunContext
    staging: Staging
    outputs: RunOutputs


@dataclass(frozen=True)
class Step:
    """One step of a run.

    ``output`` names what it makes, in messages. ``reads`` maps the steps whose outputs it reads to where it reads them,
    ``also_reads`` those that only some configs need; ``writes`` is where its own output goes; ``anchor`` is the output
    next to which a run that starts with this step leaves its manifest. ``run`` computes it: a step that ``has_gates``
    only stages it, so that nothing of the run is published before the gates of all such steps held; the others publish
    at once.
    """

    name: str
    output: str
    reads: Mapping[str, Locate]
    writes: Locate
    anchor: Locate
    run: Callable[[Work], StagedStep]
    has_gates: bool = False
    also_reads: Callable[[Config], Mapping[str, Locate]] = lambda _: {}

    def sources(self, config: Config) -> dict[str, Locate]:
        """The steps that it reads with this config, and where."""
        return {**self.reads, **self.also_reads(config)}


def _orders_path(channel: str, config: Config) -> str:
    return config.feature_pipeline.channel(channel).output_path


def _customers_path(config: Config) -> str:
    return config.feature_pipeline.customer.output_path


def _scores_path(config: Config) -> str:
    return config.feature_pipeline.scores_path


def _segmentation_input(config: Config) -> str:
    return config.segmentation.input_path


def _scores_input(config: Config) -> Mapping[str, Locate]:
    """The scores, where the segmentation lists a column of theirs."""
    path = config.segmentation.scores_path
    return {"scores": lambda _: path} if path and score_columns(config.segmentation) else {}


def _segments_path(config: Config) -> str:
    return config.segmentation.output_segments_path


def _microsegments_path(config: Config) -> str:
    return config.segmentation.output_microsegments_path


def run_orders(channel: str, work: Work, reader: Reader | None = None) -> StagedStep:
    """Compute, stage and check the order features of a channel, its rows from ``reader`` or the raw files."""
    ready, users_path = work.ready, _orders_path(USER_CHANNEL.name, work.config)
    pipeline = OrderFeaturePipeline(
        work.config,
        channel,
        work.spark,
        inputs=ready.inputs,
        context=work.context,
        reader=reader,
        users=lambda: work.outputs.read(users_path),
        gate=gates.channel_gate(work.config, channel, ready.before.get(channel)),
        staging=work.staging,
    )
    computed = pipeline.compute()
    return pipeline.stage(computed, work.outputs.open(pipeline.output_path, pipeline.publishing()))


def _run_customers(work: Work) -> StagedStep:
    pipeline = CustomerFeaturePipeline(
        work.config,
        work.spark,
        inputs=work.ready.inputs,
        context=work.context,
        gate=partial(gates.check_customers, work.config, work.ready.before.get("customers")),
        read_orders=work.outputs.read,
    )
    return pipeline.stage(work.outputs.open(_customers_path(work.config), pipeline.publishing()))


def _run_scores(work: Work) -> StagedStep:
    rules = work.ready.rfm_rules
    pipeline = ScorePipeline(work.config, work.spark, context=work.context, rules=rules, staging=work.staging)
    return StagedStep(pipeline.publish())


def _segment_runner(work: Work) -> SegmentRunner:
    ready = work.ready
    return SegmentRunner(work.config, work.spark, context=work.context, rules=ready.rules, payloads=ready.payloads)


def _run_segments(work: Work) -> StagedStep:
    return StagedStep(_segment_runner(work).publish_segments())


def _run_microsegments(work: Work) -> StagedStep:
    return StagedStep(_segment_runner(work).publish_microsegments())


def _order_step(channel: Channel) -> Step:
    users = {} if channel.defines_users else {USER_CHANNEL.name: partial(_orders_path, USER_CHANNEL.name)}
    name = channel.name
    path, run = partial(_orders_path, name), partial(run_orders, name)
    return Step(name, f"{name} order features", users, path, _customers_path, run, has_gates=True)


_TABLE = (
    *map(_order_step, CHANNELS.values()),
    Step(
        "customers",
        "customer features",
        {name: partial(_orders_path, name) for name in CHANNELS},
        _customers_path,
        _customers_path,
        _run_customers,
        has_gates=True,
    ),
    Step(
        "scores",
        "scores",
        {**{name: partial(_orders_path, name) for name in CHANNELS}, "customers": _customers_path},
        _scores_path,
        _customers_path,
        _run_scores,
    ),
    Step(
        "segments",
        "segments",
        {"customers": _segmentation_input},
        _segments_path,
        _segments_path,
        _run_segments,
        also_reads=_scores_input,
    ),
    Step(
        "microsegments",
        "micro-segments",
        {"customers": _segmentation_input, "segments": _segments_path},
        _microsegments_path,
        _segments_path,
        _run_microsegments,
        also_reads=_scores_input,
    ),
)
STEPS: Mapping[str, Step] = {step.name: step for step in _TABLE}  # in the order of a run


def chosen_steps(names: str | None) -> tuple[str, ...]:
    """The steps of a ``--steps`` list, in the order of a run. Raises ConfigError for an unknown name."""
    if names is None:
        return tuple(STEPS)
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in STEPS]
    if unknown or not wanted:
        raise ConfigError([f"--steps: unknown step {name!r}; known: {', '.join(STEPS)}" for name in unknown or [""]])
    return tuple(step for step in STEPS if step in wanted)


def waves(steps: Iterable[str], config: Config) -> list[tuple[str, ...]]:
    """The steps in the order of a run; steps that read no output of one another are together and run side by side."""
    chosen = set(steps)
    levels: dict[int, list[str]] = {}
    for name in STEPS:
        if name in chosen:
            levels.setdefault(_level(name, config), []).append(name)
    return [tuple(levels[level]) for level in sorted(levels)]


def _level(name: str, config: Config) -> int:
    return max((1 + _level(source, config) for source in STEPS[name].sources(config)), default=0)


def inputs_of(config: Config, steps: Collection[str]) -> dict[str, Step]:
    """The published outputs that the steps read and none of them writes: path to the step that makes it."""
    return {
        locate(config): STEPS[source]
        for name in STEPS
        if name in steps
        for source, locate in STEPS[name].sources(config).items()
        if source not in steps
    }


def output_path(config: Config, step: str) -> str:
    """Where a step publishes."""
    return STEPS[step].writes(config)


def resume_hint(steps: Sequence[str], done: Collection[str]) -> str | None:
    """How to resume a run that failed, as the arguments of the command; None where none of its steps is done."""
    left = [step for step in steps if step not in done]
    return f"resume with --steps {','.join(left)}" if left and len(left) < len(steps) else None
