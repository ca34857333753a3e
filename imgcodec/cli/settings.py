"""What an .aic file tells of the settings that it was made with."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from imgcodec.format.container import ENTROPIES, MAX_U, File
from imgcodec.format.joined import Joined
from imgcodec.format.metadata import Metadata
from imgcodec.format.tiles import plan_grid
from imgcodec.releases import find

if TYPE_CHECKING:
    from imgcodec.target import Target

SLACK_BYTES = 64  # more than the search leaves: sizes of small pictures go in steps


def other_settings(
    file: File, goal: Target, entropy: str, tile: int | None, model_id: bytes,
    lossless: bool | None,
) -> str:  # fmt: skip
    """Return in words how a file differs from what would be made with these settings.

    Effort, a region of interest and a measured quality leave no trace in a file. Older weights
    of the same tune are as good.
    """
    from imgcodec.codec.lossless import grid_of

    header = file.header
    found = _other_goal(file, goal)
    joined = Joined.of(file.chunks) is not None
    if lossless and (joined or not header.lossless):  # what loss there is, is of no account
        return f"{'fewer colours' if joined else 'loss'}, not --lossless"
    if lossless is False and header.lossless:
        found.append(("fewer colours" if joined else "every pixel", "--lossy"))
    if header.lossless:  # which any quality, and so any weights, allow
        edge = grid_of(header.height, header.width, tile).edge
    else:
        edge = plan_grid(header.height, header.width, tile).edge
        found.append((f"--entropy {ENTROPIES[header.entropy]}", f"--entropy {entropy}"))
        found.append((kind(header.model_id), kind(model_id)))
    found.append((_tiles(header.edge), _tiles(edge)))
    return ", ".join(f"{there}, not {wanted}" for there, wanted in found if there != wanted)


def more_than(file: File, metadata: Collection[str], alpha: str) -> str:
    """Return in words what a file keeps that is not to be kept."""
    from imgcodec.pictures.picture import ALPHA_CHUNK

    kept = [kind for kind in Metadata.of(file.chunks).kinds if kind not in metadata]
    if alpha != "keep" and any(kind == ALPHA_CHUNK for kind, _ in file.chunks):
        kept.append("transparency")
    return " and ".join(kept)


def kind(model_id: bytes) -> str:
    """Return what weights are for users."""
    release = find(model_id)
    return f"weights {model_id.hex()}" if release is None else f"--tune {release.tune}"


def _tiles(edge: int) -> str:
    return f"tiles of {edge}" if edge else "one tile"


def _other_goal(file: File, goal: Target) -> list[tuple[str, str]]:
    """Return what the file reached and what is asked, where the one cannot come of the other."""
    from imgcodec.codec.rate_search import TOLERANCE

    header = file.header
    joined = Joined.of(file.chunks)
    u = header.u if joined is None else joined.u
    if goal.kind == "quality" and u != goal.u and not (header.lossless and joined is None):
        return [(f"quality {100 * u / MAX_U:.4g}", f"{goal.value:.12g}")]
    if goal.limits:
        most = goal.num_bytes(header.num_pixels)
        finest = header.lossless or header.u == MAX_U
        short = most - file.num_bytes > max(TOLERANCE * most, SLACK_BYTES) and not finest
        if short or file.num_bytes > most:
            return [(f"{file.num_bytes} bytes", f"{most}")]
    return []
