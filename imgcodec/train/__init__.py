"""Training: data, rendered pages, loss, loop, checkpoints, and the export of weights.

May import everything but `cli` and `bench`; only `cli` imports it.
"""
