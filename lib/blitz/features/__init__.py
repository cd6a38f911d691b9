"""Order and customer features: pure functions of DataFrames that neither read nor write."""
