"""Scores of the customers: spend, lifecycle, RFM, inputs of lifetime value models; see docs/scores.md."""

from blitz.cli.run_steps import step_command

command = step_command("scores", __doc__, "scores")
