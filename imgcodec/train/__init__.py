"""Training: data, rendered pages, loss, loop, checkpoints, and the export of weights.

Only `cli` imports it. May import numpy, torch, Pillow and matplotlib, and of the package `codec`,
`entropy`, `errors`, `files`, `format`, `jpeg`, `metrics`, `model`, `perceptual`, `runtime` and
`weights`.
"""
