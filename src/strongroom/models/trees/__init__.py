"""Tree ensembles, from each framework's own dump."""
