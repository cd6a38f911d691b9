"""The commands: arguments, logs, exit codes, and what a person sees of a run."""
