"""How good a picture looks beside its original: MS-SSIM, SSIMULACRA 2, CVVDP, with gradients.

They take tensors. `metrics` calls them for arrays; training and effort take their gradients.
May import numpy, torch, and of the package `model` for its fused operations.
"""
