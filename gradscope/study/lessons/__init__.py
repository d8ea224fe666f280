"""Lessons: the numbers behind the tool's words, worked out by hand, slowly and in full view.

The one room of ``study`` that does arithmetic of its own, since showing it is its purpose; nothing
outside ``explain`` rests on it.
"""
