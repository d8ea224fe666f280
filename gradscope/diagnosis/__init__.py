"""What the measurements mean: bounds, horizon, causes, verdict."""
