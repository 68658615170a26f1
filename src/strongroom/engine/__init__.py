"""Typed Python over the native core: parameters, keys, ciphertexts, evaluation."""
