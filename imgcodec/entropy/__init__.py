"""Symbols and bits: the range coder, integers as bits, signs hidden in parities.

Probabilities come in as integers; where from, it does not know. May import numpy, constriction
and `errors`.
"""
