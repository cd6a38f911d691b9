"""Train the micro-segments' models from the customer features and segments: a payload and a model card per plan."""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

try:
    import blitz  # noqa: F401
except ImportError:  # run from a checkout: the package stands beside this folder
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from blitz.cli.main import config_arguments, guarded, read_config, use
from blitz.config import Config
from blitz.spark.session import open_session
from blitz.training.microsegments import Trained, TrainingOptions, choose_plans, model_paths, train, write


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="train_microsegments", description=__doc__, allow_abbrev=False)
    config_arguments(parser)
    parser.add_argument("--plan", action="append", metavar="NAME", help="only this plan item; may be repeated")
    parser.add_argument("--max-rows", type=positive, default=200_000, metavar="N", help="most rows, all plans together")
    ks = parser.add_mutually_exclusive_group()
    ks.add_argument("--k", type=clusters, metavar="N", help="this many clusters")
    ks.add_argument("--k-range", type=clusters, metavar="A:B", help="the k of the best silhouette (default 2:8)")
    parser.add_argument("--seed", type=int, default=0, help="equal seeds and inputs give equal models (default 0)")
    parser.add_argument("--out", metavar="DIR", help="folder or s3:// prefix; by default the config's model paths")
    arguments = parser.parse_args(argv)
    return guarded("train_microsegments", lambda: run(arguments))


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def clusters(text: str) -> tuple[int, ...]:
    """``4`` as (4,), ``2:8`` as (2, … 8)."""
    match = re.fullmatch(r"(\d+)(?::(\d+))?", text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 2 <= first <= last <= 100:
        raise argparse.ArgumentTypeError("give N or A:B with 2 <= A <= B <= 100")
    return tuple(range(first, last + 1))


def run(arguments: argparse.Namespace) -> None:
    """Train all chosen plans, then write their files."""
    config = use(read_config(arguments))
    model_paths(config, choose_plans(config, arguments.plan), arguments.out)  # before Spark starts
    ks = arguments.k or arguments.k_range or TrainingOptions.ks
    options = TrainingOptions(arguments.max_rows, ks, arguments.seed)
    session = open_session("blitz train_microsegments", config.spark, config.run.s3_endpoint)
    try:
        models = train(config, session.spark, options, arguments.plan, arguments.out)
        write(models)
    finally:
        session.stop()
    print("\n\n".join(told(model, config) for model in models))


def told(model: Trained, config: Config) -> str:
    """What was trained, in a few lines."""
    card = model.card
    scores = "  ".join(f"{k}: {score:.3f}" for k, score in card["silhouette"].items())
    sizes = "  ".join(f"{each['cluster']}: {each['size']:,}" for each in card["clusters"])
    lines = [
        f"{model.plan}: {card['rows']:,} customers, {card['sampled_rows']:,} sampled, {len(card['features'])} features",
        f"  silhouette  {scores}",
        f"  k = {card['k']} ({card['k_chosen_by']}), inertia {card['inertia']:.1f}, customers  {sizes}",
        f"  model  {model.path}",
        f"  card   {model.card_path}",
        f"  sha256 {model.sha256}",
    ]
    pin = config.run.model_sha256.get(model.model_key)
    if pin and pin != model.sha256:
        lines.append(f"  run.model_sha256.{model.model_key} pins another model: replace it to use this one")
    return "\n".join(lines)


if __name__ == "__main__":
    code = main()
    if code:  # a plain return on success: Databricks takes any sys.exit for a failure
        sys.exit(code)
