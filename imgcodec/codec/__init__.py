r"""The codec: joins model, entropy coder and container. Pictures in, files out, and back.

image -> source -> Whole or Tiled, searched by compress -> TileCodec -> Plan -> range coder \
                                                                        container -> .aic
.aic -> container -> Decompressor -> TileCodec: range coder -> codes -> pixels -> image

What is drawn may be kept without loss (`lossless`) or in fewer colours (`few_colours`).

May import numpy, torch, and of the package `entropy`, `errors`, `format`, `metrics`, `model`,
`perceptual`, `pictures`, `releases`, `runtime`, `target` and `weights`.
"""

import math
import time
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from mmap import mmap
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from imgcodec.codec.compress import compress_at, compress_within, detail_limit_db
from imgcodec.codec.compressor import Compressor
from imgcodec.codec.decompress import Decompressor
from imgcodec.codec.few_colours import in_fewer_colours
from imgcodec.codec.lockstep_tile_codec import LockstepTileCodec
from imgcodec.codec.lossless import LosslessDecompressor, encode_lossless, is_better
from imgcodec.codec.plan import CoderTables
from imgcodec.codec.results import DecodeReport, Encoded, EncodeReport, timed
from imgcodec.codec.source import Source, as_source
from imgcodec.codec.tile_codec import TileCodec
from imgcodec.codec.tiled import Recoded, Tiled
from imgcodec.codec.whole import Whole
from imgcodec.errors import AicError, check_flag, check_number, warn_of
from imgcodec.format import container
from imgcodec.format.damaged import opened
from imgcodec.format.metadata import Metadata
from imgcodec.format.tiles import box_of, plan_grid
from imgcodec.model.context import freeze
from imgcodec.model.winograd import lay_out
from imgcodec.pictures.arrays import ByteArray
from imgcodec.pictures.drawn import is_drawn
from imgcodec.pictures.geo import georeference
from imgcodec.pictures.picture import Canvas, Picture, alpha_of, as_seen
from imgcodec.pictures.roi import Roi
from imgcodec.releases import DEFAULT_QUALITIES, DEFAULT_TUNE, TUNES, find, needed, newest
from imgcodec.runtime import openmp
from imgcodec.runtime.device import chosen
from imgcodec.runtime.exact import exact, plain
from imgcodec.runtime.lockstep import Member
from imgcodec.runtime.precision import multiplies_bfloat16, multiplies_int8
from imgcodec.runtime.stopwatch import timing
from imgcodec.target import Target, check_effort
from imgcodec.weights import load

MOST_BPP = 24  # of samples as they are; only tiny pictures need more, and are asked by size


class Codec:
    """A loaded model that encodes and decodes pictures.

    Args:
        device: "auto" (CUDA where there is one), "cpu" or "cuda".
        threads: CPU threads of torch for the whole process; None leaves them alone.
        weights: a weights file of one's own, to encode with, and to decode what was encoded with
            it; None for the newest released set that `tune` names.
        tune: what a released set is fitted to, "psnr", "ms-ssim" or "eye". Files decode with
            the set that they were written with, whatever this says.

    Raises:
        AicError: there is no such device, no such weights, or no such number of threads.
    """

    def __init__(
        self,
        device: str = "auto",
        threads: int | None = None,
        weights: Path | None = None,
        tune: str = DEFAULT_TUNE,
    ) -> None:
        """Load the weights once."""
        if tune not in TUNES:
            raise AicError(f"tune {tune}, wanted one of {', '.join(TUNES)}")
        self.device = chosen(device)
        self._tile_codecs: dict[bytes, TileCodec] = {}  # model id -> its weights at work
        self._member: Member | None = None
        with openmp.taking_threads(threads):
            self.model_id = self._add(newest(tune, 1).path if weights is None else Path(weights))
        self._own = None if weights is None else self.model_id

    @property
    def _tile_codec(self) -> TileCodec:
        """What pictures are encoded with."""
        return self._shared(self._tile_codecs[self.model_id])

    @property
    def tune(self) -> str:
        """What the weights are fitted to that pictures are encoded with."""
        return self._tile_codecs[self.model_id].tune

    def model_id_at(self, effort: int) -> bytes:
        """Return what files call the weights that pictures are encoded with at an effort."""
        if effort == 1 or self._own is not None:
            return self.model_id
        return newest(self.tune, effort).model_id

    def _shared(self, tile_codec: TileCodec) -> TileCodec:
        if self.device == "cuda" and torch.cuda._is_in_bad_fork():
            raise AicError("a forked process cannot use its parent's CUDA; start it by spawn")
        return tile_codec if self._member is None else LockstepTileCodec(tile_codec, self._member)

    def joining(self, member: Member | None) -> "Codec":
        """Return this codec for a thread of a group: small pictures are faster together."""
        joined = copy(self)
        joined._member = member
        return joined

    def _add(self, weights: Path) -> bytes:
        """Load weights and return their id."""
        with plain():
            loaded = load(weights)
            model = loaded.model.to(self.device).requires_grad_(False)
            freeze(model, multiplies_int8(self.device))
            lay_out(model)
            release = find(loaded.model_id)
            self._tile_codecs[loaded.model_id] = TileCodec(
                model,
                CoderTables(loaded.tables, model.unit.device),
                multiplies_bfloat16(self.device),
                None if release is None else release.tune,
            )
        return loaded.model_id

    @property
    def where(self) -> str:
        """Where the networks run, and how, in words."""
        kind = "bfloat16" if self._tile_codec.fast else "float32"
        number = torch.get_num_threads()
        threads = "" if self.device == "cuda" else f", {number} thread{'s' * (number > 1)}"
        return f"{self.device}{threads}, {kind}"

    @timed
    def encode(
        self,
        image: Any,
        rate: float | None = None,
        entropy: str = "range",
        effort: int = 1,
        tile: int | None = None,
        roi: Roi | None = None,
        lossless: bool | None = None,
        **target: float | None,
    ) -> Encoded:
        """Return the .aic file of a picture, as large or as good as asked: bytes with a report.

        At most one of rate, size, quality, psnr, ms_ssim and ssimulacra2 is given; the default is
        a quality that suits the tune, see `imgcodec.releases`.

        Args:
            image: uint8 (H, W, 3) or (H, W) array; a PIL image, whose transparency and metadata
                are kept, too, an `AicWarning` says of what is not; a `Picture`; or a
                `raster.Raster`.
            rate: most bits per pixel that the file may take, more than 0.
            entropy: "range" (arithmetic coding) or "none" (raw packed bits).
            effort: 1..9; more makes better files and takes longer.
            tile: edge of the tiles in pixels, a multiple of 64; None chooses.
            roi: where errors weigh more, see `imgcodec.pictures.roi`.
            lossless: whether every pixel is kept; entropy, effort and roi mean nothing then.
                None: of a picture that looks drawn by a program, or has detail that the codec
                keeps badly, where it takes no more bytes than what is asked, or fits rate or
                size. What is drawn may come in fewer colours, see `few_colours`, where a region
                of interest is no worse for it. False: the networks make the file.
            **target: size, the most bytes that the file may take; quality, 0..100, the same
                trade-off of bits against errors in all pictures; psnr, dB; ms_ssim, 0..1;
                ssimulacra2, the score, 0..100.

        Raises:
            ImageError: the picture is not of that kind, or too large.
            AicError: the rate is too low for this picture, or what is asked out of range.
        """
        goal = Target.of(DEFAULT_QUALITIES[self.tune], rate=rate, **target)
        if lossless is not None:
            check_flag("lossless", lossless)
        if lossless and not goal.limits and set(target.values()) - {None}:
            raise AicError(f"{goal.kind} and lossless exclude each other")
        if entropy not in container.ENTROPIES:
            raise AicError(f"entropy {entropy}, wanted one of {', '.join(container.ENTROPIES)}")
        check_effort(effort)
        if roi is not None and not isinstance(roi, Roi):
            raise AicError(f"a region of interest of {type(roi).__name__}, wanted a Roi")
        source, pixels, chunks = as_source(image)
        height, width = source.shape[:2]
        if roi is not None and not roi.fits(height, width):
            raise AicError("the region of interest is that of a picture of another size")
        free = lossless is None and entropy == "range" and isinstance(pixels, np.ndarray)
        lossless_file = None
        drawn = free and is_drawn(np.asarray(pixels))
        if lossless or drawn:
            lossless_file = encode_lossless(pixels, chunks, tile, goal)
            fits = goal.allows(len(lossless_file), height * width)
            if lossless and not fits:
                needs = f"needs {len(lossless_file)} bytes without loss"
                raise AicError(f"{goal} is too little for this picture, which {needs}")
            if lossless or (fits and goal.limits):
                return lossless_file
        lossy_file = self._by_networks(source, chunks, tile, roi, entropy, goal, effort)
        if free and lossless_file is None and lossy_file.report.detail_limit_db is not None:
            lossless_file = encode_lossless(pixels, chunks, tile, goal)
        best = lossy_file
        if lossless_file is not None and not is_better(lossy_file, lossless_file, height * width):
            best = lossless_file
        if drawn:
            joined = in_fewer_colours(
                np.asarray(pixels), chunks, tile, self.tune, lossy_file, best, self.decode
            )
            if joined is not None and (
                roi is None
                or self._inside(roi, pixels, chunks, joined)
                >= self._inside(roi, pixels, chunks, lossy_file)
            ):
                return joined
        return best

    def _inside(
        self, roi: Roi, pixels: Any, chunks: Sequence[container.Chunk], data: Encoded
    ) -> float:
        """Return the PSNR of a region, dB, in the file of a picture, where it is seen."""
        alpha = alpha_of(chunks, *pixels.shape[:2])
        return roi.psnrs(pixels, as_seen(self.decode(data), pixels, alpha))[0]

    def _by_networks(
        self, source: Source, chunks: Sequence[container.Chunk], tile: int | None,
        roi: Roi | None, entropy: str, goal: Target, effort: int,
    ) -> Encoded:  # fmt: skip
        """Return the file that the networks make of a picture."""
        height, width = source.shape[:2]
        grid = plan_grid(height, width, tile)
        model_id = self.model_id_at(effort)
        tile_codec = self._at_work(model_id)
        header = container.Header(
            width=width,
            height=height,
            channels=1 if len(source.shape) == 2 else 3,
            entropy=container.ENTROPIES.index(entropy),
            u=0,
            tile=grid.edge // container.TILE_UNIT,
            model_id=model_id,
        )
        compressor: Compressor
        with exact():
            if len(grid) == 1:
                compressor = Whole(tile_codec, source, header.raw, roi, effort)
            else:
                compressor = Tiled(tile_codec, source, header, roi, effort)
            return self._compress(compressor, header, chunks, goal, effort)

    @timed
    def trim(
        self, data: bytes | mmap, rate: float | None = None, size: int | None = None
    ) -> Encoded:
        """Return a smaller file of the same picture, made from the file alone.

        Args:
            data: an .aic file.
            rate: most bits per pixel that the new file may take.
            size: the same in bytes, in place of the rate.

        Raises:
            FormatError: the file is damaged or not an .aic file.
            ModelMismatchError: it was written with weights that are not here.
            AicError: neither or both are given, the file is as small already, or what is asked is
                too low for this picture.
        """
        goal = Target.of(DEFAULT_QUALITIES[self.tune], rate=rate, size=size)
        if not goal.limits:
            raise AicError("a rate or a size is needed")
        header, tiles, chunks = container.unpack(data)
        had = memoryview(data).nbytes
        if goal.allows(had, header.num_pixels):
            has = f"{had} bytes" if goal.kind == "size" else f"{header.bpp(had):.4f} bpp"
            raise AicError(f"the file has {has} already, {goal.value:.15g} asked")
        if header.lossless:
            raise AicError("the file has no codes to leave out: decode it, and encode that")
        container.check_chunks(chunks, ())
        tile_codec = self._at_work(header.model_id)
        work = Decompressor(tile_codec, header, tiles.__getitem__)
        with exact():
            bpp = header.bpp(goal.num_bytes(header.num_pixels))
            coded_bytes = sum(map(len, tiles))
            compressor = Recoded(tile_codec, work.tiles(), header.u, coded_bytes, bpp, header.raw)
            return self._compress(compressor, header, chunks, goal, 1, had)

    def decode(
        self,
        data: bytes | mmap | container.Stored,
        region: Sequence[int] | None = None,
        keep_going: bool = False,
        max_rate: float = math.inf,
        max_pixels: int = container.MAX_PIXELS,
    ) -> ByteArray:
        """Return the picture of an .aic file, uint8 (H, W, 3).

        Args:
            data: the file.
            region: left, top, width and height of the part that is wanted, pixels; None: all.
                Only the tiles that it needs are read.
            keep_going: decode tiles that are cut or damaged as far as they are right, set single
                wrong bits right, fill tiles of which nothing is from what lies around them, leave
                out damaged chunks and bytes after the end, and warn (`AicWarning`), rather than
                refuse.
            max_rate: bits per pixel after which the finer codes are left out, for a quick preview;
                of a file without loss, none are.
            max_pixels: more than so many are refused before any work.

        Raises:
            FormatError: the file is damaged or not an .aic file.
            ModelMismatchError: it was written with weights that are not here.
            AicError: the region does not lie in the picture, or is too large, or there is no such
                rate.
        """
        header = opened(data, keep_going).header
        wanted = box_of(region, header.height, header.width)
        canvas = Canvas(wanted.height, wanted.width, 3)
        report = self.decode_rows(data, canvas.take, region, keep_going, max_rate, max_pixels)
        warn_of([report.damage] if report.damage else [])
        if canvas.pixels is None:
            raise ValueError("a region without rows")
        return canvas.pixels

    def decode_picture(self, data: bytes, keep_going: bool = False) -> Picture:
        """Return the picture of an .aic file with all that belongs to it.

        Grey pixels are (H, W) here. Raises as `decode`.
        """
        pixels = self.decode(data, keep_going=keep_going)
        file = opened(data, keep_going)
        if file.header.channels == 1:
            pixels = np.ascontiguousarray(pixels[..., 0])
        alpha = alpha_of(file.chunks, file.header.height, file.header.width)
        place = dict(file.chunks).get(georeference.CHUNK)
        return Picture(pixels, alpha, Metadata.of(file.chunks), georeference=place)

    def inspect(self, data: bytes | mmap) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return levels, and bits that the range coder spends, of each place of 8x8 pixels.

        Both float32 (ceil(H/8), ceil(W/8)). Raises as `decode`.
        """
        header, tiles, chunks = container.unpack(data)
        if header.lossless:
            raise AicError("the file has no codes, and no importance map")
        container.check_chunks(chunks, ())
        tile_codec = self._at_work(header.model_id)
        work = Decompressor(tile_codec, header, tiles.__getitem__)
        rows, columns = header.grid
        with exact():
            found = [[work.spent(row, column) for column in range(columns)] for row in range(rows)]
        levels, bits = (
            np.block([[tile[i].cpu().numpy() for tile in row] for row in found]) for i in range(2)
        )
        return levels, bits

    def decode_rows(
        self,
        data: bytes | mmap | container.Stored,
        take: Callable[[ByteArray], None],
        region: Sequence[int] | None = None,
        keep_going: bool = False,
        max_rate: float = math.inf,
        max_pixels: int = container.MAX_PIXELS,
    ) -> DecodeReport:
        """Hand over a picture from top to bottom, a row of tiles as soon as it is ready.

        Args:
            data: the file.
            take: is called with the next rows, uint8 (h, W, 3).
            region: as in `decode`, like the others.
            keep_going: no damage is known before its rows are handed over.
            max_rate: as in `decode`.
            max_pixels: as in `decode`.
        """
        started = time.perf_counter()
        check_number("max_rate", max_rate, "0 or more")
        if not max_rate >= 0:  # nan, too
            raise AicError(f"max_rate {max_rate}, wanted 0 or more")
        check_number("max_pixels", max_pixels, "a number of pixels")
        file = opened(data, keep_going)
        if not keep_going:
            file.check_length()
        header = file.header
        container.check_chunks(file.chunks, ())
        wanted = box_of(region, header.height, header.width)
        if not wanted.height * wanted.width <= max_pixels:  # nan, too
            raise AicError(
                f"{wanted.width}x{wanted.height} pixels, at most {max_pixels} are allowed"
            )
        work: Decompressor | LosslessDecompressor
        if header.lossless:  # which has no coarser codes for a preview
            work = LosslessDecompressor(header, file.tile, wanted, keep_going)
        else:
            tile_codec = self._at_work(header.model_id)
            bits = 8 * file.length  # whether or not it is cut
            if not isinstance(max_rate, int):  # numbers of NumPy would wrap, or overflow
                max_rate = float(max_rate)
            asked = max_rate * header.width * header.height
            # a file's own rate is all of it, however it was rounded
            share = 1.0 if asked >= (1 - 1e-9) * bits else asked / bits
            work = Decompressor(tile_codec, header, file.tile, wanted, keep_going, share)
        with timing() as stages:
            for row in work.rows:
                with exact():
                    strip = work.strip(row)
                take(strip)
        total_s = time.perf_counter() - started
        mended = {key: why for key, why in file.mended.items() if key not in work.damaged}
        damaged = work.damaged | {key: why for key, why in mended.items() if isinstance(key, int)}
        return DecodeReport(
            damaged, file.excess, file.lost, mended, work.begun, stages=stages, total_s=total_s
        )

    def _compress(
        self,
        compressor: Compressor,
        header: container.Header,
        chunks: Sequence[container.Chunk],
        target: Target,
        effort: int,
        had: int | None = None,
    ) -> Encoded:
        """Return the file of a picture; `had` is how many bytes it has already."""
        if target.limits:
            overhead = container.overhead_bytes(math.prod(header.grid), chunks)
            most = target.num_bytes(header.num_pixels)
            found = compress_within(compressor, most - overhead, effort)
            if found is None:
                least = overhead + sum(map(len, compressor.plan(0).write()))
                if had is not None and least >= had:
                    raise AicError(f"the file cannot get smaller: it has {had} bytes")
                needs = f"{least}"
                if target.kind == "rate":
                    # half a byte more, so that rounding does not take the last one away
                    bpp = math.ceil(1000 * 8 * (least + 0.5) / header.num_pixels) / 1000
                    needs = f"{bpp:.12g}" if bpp <= MOST_BPP else f"a size of {least} bytes"
                raise AicError(
                    f"{target.kind} {target.value:.12g} is too low for this picture,"
                    f" which needs {needs}"
                )
        else:
            found = compress_at(compressor, target, effort)
        data = container.pack(replace(header, u=found.u), found.payloads, chunks)
        bpp = header.bpp(len(data))
        limit = detail_limit_db(compressor, found.u)
        report = EncodeReport(target, bpp, found.u, found.limited, limit, too_bad=found.too_bad)
        return Encoded(data, report)

    def _at_work(self, model_id: bytes) -> TileCodec:
        """Return what works with a set, loaded where it is not yet."""
        if model_id not in self._tile_codecs:
            self._add(needed(model_id, self._own).path)
        return self._shared(self._tile_codecs[model_id])
