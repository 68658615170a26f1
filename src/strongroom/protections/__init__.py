"""The ways a model can be guarded, one package each, behind one interface."""
