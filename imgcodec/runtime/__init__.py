"""How work runs on a machine: precision, threads that go in step, and what takes how long.

Knows nothing of pictures or files. May import torch, and nothing of the package.
"""
