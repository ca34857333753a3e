"""Measures codecs over a folder of pictures: size, quality and time, through files on disk.

Only `cli` imports it. Names that options need stand here, so that help loads none of it. May
import numpy, torch, Pillow and matplotlib, and of the package itself (`__init__`) and `codec`,
`errors`, `files`, `format`, `into_jpeg`, `metrics`, `pictures`, `releases` and `restoring`.
"""

RESTORED = "jpeg-restored"  # JPEG files that `aic restore` decodes
COMCNN = "jpeg-comcnn"  # those of `aic encode --into jpeg`, decoded likewise
PEERS = (
    "jpeg", "jpeg2000", "webp", "avif", "avif-iq", "avif-iq-speed6",
    "avif-iq-420", "avif-iq-420-speed6", "jpegxl", "heic",
)  # fmt: skip
SLOW_METRICS = ("ssimulacra2", "cvvdp")  # that are measured where they are asked for: slow ones
COMPRESSAI = "compressai:"  # before the name of one of its models
