"""The numerical parts under the Jacobian products: QR, SVD, Lanczos, scaling."""
