"""Pictures: picture files read and written, what a picture is, and what is done to its arrays.

May import numpy, Pillow, rasterio (GeoTIFF), and of the package `format`, `files`, `metrics`,
`runtime` and `errors`. Knows nothing of models.
"""
