"""JPEG files: their syntax and coefficients, read, written, chosen, and packed without loss.

`packing` is the way in for the last. May import numpy, constriction, safetensors, `errors`,
`entropy`, `format` and `releases`; no torch, so that packing starts at once.
"""
