"""How work runs on a machine: precision, threads and forks, and what takes how long.

Knows nothing of pictures or files. May import torch, and `errors` of the package.
"""
