"""Tables of a catalog: their names in a config, what a session knows of them, and how they are read."""
