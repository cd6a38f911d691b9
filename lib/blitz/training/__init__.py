"""Train micro-segment models and learn rules from published features."""
