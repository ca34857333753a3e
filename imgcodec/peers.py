"""Names of the codecs that `aic bench` measures beside aic."""

PEERS = ("jpeg", "jpeg2000", "webp", "avif", "jpegxl", "heic")
COMPRESSAI = "compressai:"  # before the name of one of its models
