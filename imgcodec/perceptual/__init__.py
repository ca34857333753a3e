"""How good a picture looks beside its original: MS-SSIM, SSIMULACRA 2, CVVDP, with gradients.

They work on tensors; `metrics` asks them of arrays, training and effort of their losses.
May import numpy, torch, and of the package `model` for its fused operations.
"""
