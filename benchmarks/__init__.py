"""Figures, each printed by a script of its own: ``make bench``."""
