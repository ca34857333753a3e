"""Datasets of rasterio, and names of files that GDAL can have."""

import os
import warnings
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

from imgcodec.errors import AicError
from imgcodec.files import reason
from imgcodec.pictures.pillow_guard import PROCESS_LOCK


def name_for_gdal(path: Path, links: ExitStack) -> Path:
    """Return a name of a file that GDAL can have: in UTF-8, and no word of its own.

    Elsewhere, links in a temporary folder: to the file's folder, or to the file and those beside
    it that belong to it, like b.tif.aux.xml, b.tfw and b_RPC.TXT to b.tif.

    Args:
        path: of the file.
        links: what removes the links.

    Raises:
        AicError: there is no such name.
    """
    path = path.absolute()  # `link/..` stays what it is
    if _is_utf8(str(path)):
        return path
    try:
        if not _is_utf8(gettempdir()):
            raise AicError(f"{path}: its name is not UTF-8, nor is that of {gettempdir()}")
        folder = Path(links.enter_context(TemporaryDirectory(prefix="aic-")))
        if _is_utf8(path.name):
            (folder / "of").symlink_to(path.parent)
            return folder / "of" / path.name
        for name in os.listdir(path.parent):
            rest = name.removeprefix(path.stem)
            if len(rest) < len(name) and rest[:1] in (".", "_") and _is_utf8(rest):
                (folder / f"of{rest}").symlink_to(path.parent / name)
        return folder / f"of{path.suffix}"
    except OSError as error:
        raise AicError(
            f"{path}: its name is not UTF-8, and has no link: {reason(error)}"
        ) from error


def _is_utf8(name: str) -> bool:
    return not any("\udc80" <= letter <= "\udcff" for letter in name)


def open_dataset(path: Path, mode: str = "r", **words: Any) -> Any:
    """Open a dataset, without the warning that it has no georeference."""
    import rasterio

    with PROCESS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        return rasterio.open(path, mode, **words)
