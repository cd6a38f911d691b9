"""Compare two runs: who changed segment and why, and how far features, segments and centroids drifted."""
