"""Pictures: picture files read and written, what a picture is, and what is done to its arrays.

May import numpy, Pillow, rasterio (GeoTIFF), and of the package `format`, `files`, `metrics`,
`runtime` and `errors`. Knows nothing of models.
"""

# What a folder's pictures are known by; Pillow, or a plugin of it, opens more.
PICTURES = (
    ".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".ppm", ".pgm", ".gif", ".jp2",
    ".avif", ".heic", ".heif", ".jxl",
)  # fmt: skip
