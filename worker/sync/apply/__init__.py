"""Doing what was decided: one short transaction an item, and one request a write."""
