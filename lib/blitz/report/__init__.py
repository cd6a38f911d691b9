"""The run report: one HTML page from a run's outputs and manifest (docs/report.md).

runs → aggregates, items → numbers → page: what the manifests tell, what Spark counts, one plain dict, the HTML.
"""
