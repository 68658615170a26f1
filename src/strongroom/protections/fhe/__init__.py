"""Protection `fhe`: the model runs on encrypted rows."""
