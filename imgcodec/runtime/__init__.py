"""How work runs on a machine: devices, precision, threads and forks, and what takes how long.

Knows nothing of pictures or files. May import torch, and `errors` of the package.
"""
