"""Publish tables: stage next to the output, check, then swap, under a lock; ``tables.publishing`` is the entrance."""
