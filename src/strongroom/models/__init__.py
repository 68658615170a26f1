"""Importers: from trained models of any framework to one typed `Graph`."""
