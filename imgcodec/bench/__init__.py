"""Measures codecs over a folder of pictures: size, quality and time, through files on disk.

May import everything but `cli` and `train`; only `cli` imports it. Names that options need stand
here, so that help loads none of it.
"""

PEERS = ("jpeg", "jpeg2000", "webp", "avif", "jpegxl", "heic")
COMPRESSAI = "compressai:"  # before the name of one of its models
