"""Verdicts, numbers, reasons and remedies as English sentences."""
