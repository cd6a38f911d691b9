"""Assign customers to micro-segments with the models of the config's plan."""

from blitz.cli.run_steps import step_command

command = step_command("microsegments", __doc__, "microsegments")
