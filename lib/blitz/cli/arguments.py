"""Arguments that several commands share, and the config that they name."""

import argparse
from collections.abc import Callable

from blitz import storage
from blitz.cli.logs import log_to
from blitz.config import Config, load_config
from blitz.config.paths import paths_that_need_spark
from blitz.errors import ConfigError
from blitz.pipelines.spelling import with_original_names
from blitz.run.steps import STEPS
from blitz.spark.engine import ENGINES, SAIL, chosen_engine


def add_config_arguments(parser: argparse.ArgumentParser, with_as_of: bool = True) -> None:
    """Add the arguments that name the config; ``--as-of`` unless the command has dates of its own."""
    parser.add_argument("--conf", metavar="PATH", help="config file, e.g. conf/prod.json")
    parser.add_argument("--feature_pipeline_config", metavar="PATH", help="config file of the feature pipeline alone")
    parser.add_argument("--segmentation_config", metavar="PATH", help="config file of the segmentation alone")
    add_engine(parser)
    for key in ("catalog", "schema"):
        text = f"what {{{key}}} in paths and names of tables becomes, overrides run.{key}"
        parser.add_argument(f"--{key}", metavar="NAME", help=text)
    if with_as_of:
        parser.add_argument("--as-of", metavar="DATE", help="run date (YYYY-MM-DD), overrides current_run_date")


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add ``--engine``."""
    text = "engine of the job, overrides run.engine: Spark, or Sail (in this process, without Java)"
    parser.add_argument("--engine", choices=ENGINES, help=text)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the commands that run all steps."""
    add_config_arguments(parser)
    add_dry_run(parser)
    parser.add_argument("--steps", metavar="A,B", help=f"run only these of {','.join(STEPS)}")
    parser.add_argument("--no-report", action="store_true", help="do not build the report at the end")


def add_dry_run(parser: argparse.ArgumentParser) -> None:
    """Add ``--dry-run``."""
    text = "check config, rules, input files and models, print the plan and write nothing"
    parser.add_argument("--dry-run", action="store_true", help=text)


def at_least(least: int) -> Callable[[str], int]:
    """Return an argparse type: an integer that is not below ``least``."""

    def integer(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"must be {least} or more")
        return int(text)

    return integer


def a_path(text: str) -> str:
    """An argparse type: the path of a file or folder, not a table of a catalog."""
    if storage.is_table(text):
        raise argparse.ArgumentTypeError(f"must be a file or folder, not a table of a catalog: {text}")
    return text


def has_config(arguments: argparse.Namespace) -> bool:
    """Whether the arguments name a config."""
    return bool(arguments.conf or arguments.feature_pipeline_config or arguments.segmentation_config)


def read_config(arguments: argparse.Namespace, as_of: str | None = None) -> Config:
    """Read the config that the arguments name, as of ``as_of`` or ``--as-of`` if given, with the engine to use.

    Raises ConfigError listing every problem, or naming the paths that the engine does not reach.
    """
    if not has_config(arguments):
        raise ConfigError(["no config given: --conf PATH, or --feature_pipeline_config P --segmentation_config P"])
    given = load_config(
        conf=arguments.conf,
        feature_pipeline=arguments.feature_pipeline_config,
        segmentation=arguments.segmentation_config,
        as_of=as_of or getattr(arguments, "as_of", None) or None,  # an empty job parameter means no date
        catalog=arguments.catalog,
        schema=arguments.schema,
    )
    config = with_original_names(given)
    engine = chosen_engine(config.run.engine, arguments.engine)
    if engine == SAIL and (beyond := paths_that_need_spark(config)):
        key, path = beyond[0]
        more = f" and {len(beyond) - 1} more" * (len(beyond) > 1)
        raise ConfigError(
            [f"{key}: {path}{more}: Sail reaches local disks and S3 alone, no catalog; run on Spark, with spark-submit"]
        )
    return config.model_copy(update={"run": config.run.model_copy(update={"engine": engine})})


def apply_runtime_settings(config: Config) -> Config:
    """Apply the config's debug log and S3 settings to this process; returns the config."""
    if config.run.debug_log:
        log_to(config.run.debug_log)
    storage.configure(endpoint=config.run.s3_endpoint, region=config.run.s3_region)
    return config
