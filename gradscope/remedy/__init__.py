"""Which change helps: forecasts without training, candidates, and trials of them."""
