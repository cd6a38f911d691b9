"""Rule segments and KMeans micro-segments."""
