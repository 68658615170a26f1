"""The client: asks a server that cannot read the question."""
