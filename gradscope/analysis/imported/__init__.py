"""A network from a weight file: what is asked of the file, and its layers as one stack."""
