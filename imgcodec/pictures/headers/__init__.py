"""What picture files say around their pixels: shapes, depths, colours, and what is passed over.

Pillow does not tell it, or not so. May import numpy, Pillow, `format`, `errors`, and of its parent
`pillow_guard` and `profiles`.
"""
