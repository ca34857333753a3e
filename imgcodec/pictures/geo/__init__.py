"""GeoTIFF, read and written by windows, and where it lies on Earth: what the extra `geo` is for.

May import numpy, Pillow, rasterio, all of its parent, and of the package `files`, `format`,
`runtime` and `errors`.
"""
