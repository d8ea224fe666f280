"""Lessons: numbers worked out step by step, and the meaning of every term."""
