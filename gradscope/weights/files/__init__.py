"""From bytes to named arrays: one reader per file format."""
