"""Raw files and mappings to typed rows."""
