"""The whole flow, from settings to an analysis, and its archive."""
