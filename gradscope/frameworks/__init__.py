"""Parity with PyTorch's and Keras's own layers and automatic differentiation."""

BACKENDS = ("torch", "jax", "tensorflow")
"""What Keras can run on and take Jacobians by."""
