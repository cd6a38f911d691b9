"""Run the steps of a run: those with gates are published together, once all gates held, the others one by one."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait

from pyspark.sql import SparkSession

from blitz.config import Config
from blitz.errors import BlitzError, StepError
from blitz.pipelines.context import RunContext, StepResult
from blitz.pipelines.history import write_history
from blitz.pipelines.outputs import RunOutputs, StagedStep
from blitz.raw.channels import CHANNELS
from blitz.run.steps import STEPS, Preflight, Work, resume_hint, waves
from blitz.spark.failures import reason
from blitz.spark.staging import Staging

log = logging.getLogger(__name__)

RunChannel = Callable[[str, Work], StagedStep]  # computes, stages and checks the order features of a channel


def run_steps(
    config: Config,
    spark: SparkSession,
    ready: Preflight,
    context: RunContext,
    run_channel: RunChannel | None = None,
    outputs: RunOutputs | None = None,
) -> list[StepResult]:
    """Run the steps of ``ready`` in order and publish each.

    Order and customer features are staged and checked before any of them is published, and read one another as staged.
    Swiggy and in-store run side by side: each alone leaves cores idle while the driver plans and the last tasks end
    (the sample of 100,000 orders: 52 to 43 s on two cores).

    Args:
        config, spark, ready, context: the config, the session, what preflight returned, and the run.
        run_channel: stages the order features of a channel; by default as the table of steps says.
        outputs: gets the publications of the run; by default new ones.

    Raises StepError for the first step that failed, with the hint how to resume; errors of others are logged.
    """
    results: list[StepResult] = []
    with Staging() as staging:
        work = Work(config, spark, ready, context, staging, outputs or RunOutputs(spark, context))
        for phase in _phases(ready.steps, config):
            with work.outputs:
                staged = [step for wave in phase for step in _run_wave(wave, work, run_channel, results)]
                for step in staged:
                    results.append(_publish(step, work, results))
        _record_history(work, results)
    return results


def _record_history(work: Work, results: Collection[StepResult]) -> None:
    """Write the history at the end of a run that published the micro-segments, the last part of it."""
    last = next((result for result in results if result.step == "microsegments"), None)
    if last is None:
        return
    try:
        written = write_history(work.config, work.spark, work.context.run_id)
    except Exception as error:
        raise StepError("history", error, _in_words(error), "resume with --steps microsegments") from error
    if written:
        last.details["history"] = {"path": written.path, "rows": written.rows, "files": written.files}
        log.info("history: %s rows of all run dates, %s", f"{written.rows:,}", written.path)


def _phases(steps: Iterable[str], config: Config) -> list[list[tuple[str, ...]]]:
    """The waves of steps that are published together: those with gates, then each of the others."""
    steps = tuple(steps)
    gated = waves((step for step in steps if STEPS[step].has_gates), config)
    return [gated, *([wave] for wave in waves((step for step in steps if not STEPS[step].has_gates), config))]


def _run_wave(
    wave: tuple[str, ...], work: Work, run_channel: RunChannel | None, published: Collection[StepResult]
) -> list[StagedStep]:
    """Run steps side by side. A step that fails lets the others finish, which may publish."""
    with ThreadPoolExecutor(len(wave), thread_name_prefix="blitz-step") as pool:
        running = {step: pool.submit(_run_step, step, work, run_channel) for step in wave}
        wait(running.values())
    failed = {step: error for step, each in running.items() if (error := each.exception())}
    if failed:
        done = [step for step in wave if step not in failed and not STEPS[step].has_gates]
        error = _step_error(failed, work.ready, [*done, *(result.step for result in published)])
        raise error from error.cause
    return [each.result() for each in running.values()]


def _step_error(failed: Mapping[str, BaseException], ready: Preflight, published: Collection[str]) -> StepError:
    """The error of the first step that failed; the others are logged."""
    hint = resume_hint(ready.steps, published)
    errors = [StepError(step, error, _in_words(error), hint) for step, error in failed.items()]
    for other in errors[1:]:
        log.error("also failed: %s", other)
    return errors[0]


def _in_words(error: BaseException) -> str:
    return str(error) if isinstance(error, BlitzError) else reason(error)


def _run_step(step: str, work: Work, run_channel: RunChannel | None) -> StagedStep:
    log.info("%s: started", step)
    staged = run_channel(step, work) if run_channel and step in CHANNELS else STEPS[step].run(work)
    for account in staged.result.accounts:
        if not account.adds_up:
            log.warning("%s %s: the counts do not add up; a task that ran twice counts twice", step, account.table)
    return staged


def _publish(staged: StagedStep, work: Work, published: Collection[StepResult]) -> StepResult:
    step = staged.result.step
    try:
        result = staged.commit()
    except Exception as error:
        raise _step_error({step: error}, work.ready, [each.step for each in published]) from error
    log.info("%s: %s rows, %.1f s, %s", step, f"{result.output.rows:,}", result.seconds, result.output.path)
    return result
