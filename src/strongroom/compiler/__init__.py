"""Decisions: `Graph` to `Plan` to program."""
