"""Protection `sealed`: encrypted on every way and every disk, run in the clear in one process."""
