"""Other people's networks: one reader per format, and how their names become layers."""
