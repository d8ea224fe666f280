"""The network: activations, initialisers, the cell, and the trajectory it takes through time."""
