"""How work runs on a machine: precision, threads and forks, and what takes how long.

Knows nothing of pictures or files. May import torch, and nothing of the package.
"""
