"""The entries of the glossary."""
