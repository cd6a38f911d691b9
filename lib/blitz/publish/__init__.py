"""Publish tables: write beside the output, check, then swap, under a lock."""
