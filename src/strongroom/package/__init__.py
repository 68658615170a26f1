"""The `.strongroom` file."""
