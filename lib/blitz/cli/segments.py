"""Assign each customer to a segment by the rules."""

from blitz.cli.run_steps import step_command

command = step_command("segments", __doc__, "segments")
