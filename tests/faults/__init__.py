"""Faults that are really put in: what can be used by any test, and what each was."""
