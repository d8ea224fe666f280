"""Lessons as pages for the terminal."""
