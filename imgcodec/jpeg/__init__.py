"""JPEG files packed without loss: their syntax, and a coder for their coefficients.

`packing` is the way in. May import numpy, constriction, safetensors, `errors`, `entropy`,
`format` and `releases`; no torch, so that packing starts at once.
"""
