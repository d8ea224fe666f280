"""gradscope inside the loops of others: each file needs the package it is named for, and no other.

They are thin: what is measured, and the names of its numbers, are those of ``gradscope.watch``.
"""
