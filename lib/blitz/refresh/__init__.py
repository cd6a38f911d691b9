"""Refresh order features: recompute only what changed since the last run."""
