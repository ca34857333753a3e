"""The bytes of an .aic file: container, grid of tiles, chunks of metadata.

May import the standard library and `errors` alone: whoever only wants to know what is in a file
needs no more.
"""
