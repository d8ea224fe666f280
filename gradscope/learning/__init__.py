"""Learning by backpropagation through time: errors, exact gradients, optimizers, the loop."""
