"""Products of the hidden-state Jacobians: measured, never judged."""
