"""Explain one customer: which rule gave the segment, which cluster and why."""
