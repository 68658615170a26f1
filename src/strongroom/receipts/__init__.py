"""Receipts: signed statements of what was answered, checked without the server."""
