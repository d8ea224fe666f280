"""Parity with PyTorch's and Keras's own layers and automatic differentiation."""
