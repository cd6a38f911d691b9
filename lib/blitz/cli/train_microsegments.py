"""Train the micro-segment models on customer features and segments: a model file and a model card per plan item."""

import argparse
import re

from blitz.cli.arguments import a_path, add_config_arguments, apply_runtime_settings, at_least, read_config
from blitz.cli.command import Command
from blitz.cli.sessions import session_for
from blitz.config import Config
from blitz.training.microsegments import Trained, TrainingOptions, choose_plans, model_paths, train, write


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_config_arguments(parser)
    parser.add_argument("--plan", action="append", metavar="NAME", help="train only this plan item; may be repeated")
    text = "maximum sample size over all plan items (default 200,000)"
    parser.add_argument("--max-rows", type=at_least(1), default=200_000, metavar="N", help=text)
    ks = parser.add_mutually_exclusive_group()
    ks.add_argument("--k", type=_clusters, metavar="N", help="number of clusters")
    text = "choose the number of clusters with the best silhouette (default 2:8)"
    ks.add_argument("--k-range", type=_clusters, metavar="A:B", help=text)
    parser.add_argument("--seed", type=int, default=0, help="the same seed and inputs give the same models (default 0)")
    text = "folder or s3:// prefix for the files; by default the config's model paths"
    parser.add_argument("--out", type=a_path, metavar="DIR", help=text)


def run(arguments: argparse.Namespace) -> None:
    """Train the chosen plan items, write their files and print a summary."""
    config = apply_runtime_settings(read_config(arguments))
    model_paths(config, choose_plans(config, arguments.plan), arguments.out)  # before Spark starts
    ks = arguments.k or arguments.k_range or TrainingOptions.ks
    options = TrainingOptions(arguments.max_rows, ks, arguments.seed)
    with session_for("train_microsegments", config) as spark:
        models = train(config, spark, options, arguments.plan, arguments.out)
        write(models)
    print("\n\n".join(format_model(model, config) for model in models))


def format_model(model: Trained, config: Config) -> str:
    """Return the sample, the scores, the sizes and the files of a model, as text."""
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
        lines.append(f"  run.model_sha256.{model.model_key} pins another model; update it to use this one")
    return "\n".join(lines)


def _clusters(text: str) -> tuple[int, ...]:
    """``4`` as (4,), ``2:8`` as (2, …, 8)."""
    match = re.fullmatch(r"(\d+)(?::(\d+))?", text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 2 <= first <= last <= 100:
        raise argparse.ArgumentTypeError("give N or A:B with 2 <= A <= B <= 100")
    return tuple(range(first, last + 1))


command = Command("train_microsegments", __doc__, add_arguments, run)
