"""Compute customer features from the order features of the three channels."""

from blitz.cli.run_steps import step_command

command = step_command("customer_features", __doc__, "customers")
