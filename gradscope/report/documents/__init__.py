"""Results as JSON documents and as rows of numbers."""
