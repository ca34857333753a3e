"""Which files become which: words of the command line, and the files to be made of them."""

import glob
import os
import sys
import unicodedata
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path

from imgcodec.cli.checks import named
from imgcodec.cli.many import urls
from imgcodec.cli.work import Location, Task
from imgcodec.errors import AicError
from imgcodec.files import reason

_NO_PATH = "its name leads to no place in a folder here"


@dataclass
class Listing:
    """What words mean."""

    force: bool = False  # whether existing targets are replaced
    pairs: list[tuple[str, str]] = field(default_factory=list)  # source and target, paths or URLs
    # by source at a URL: other files that belong to it
    sides: dict[str, list[str]] = field(default_factory=dict)
    failed: list[tuple[Location, str]] = field(
        default_factory=list
    )  # what is not to be had, and why
    notes: list[tuple[Location, str]] = field(default_factory=list)  # what is left out, to be told

    @property
    def tasks(self) -> list[Task]:
        """Sources and targets of which none is at a URL."""
        return [Task(Path(source), Path(target), self.force) for source, target in self.pairs]


def is_many(sources: Sequence[str], target: str) -> bool:
    """Whether words name several files, a folder, a pattern, or a folder to write into."""
    if len(sources) > 1 or os.path.isdir(target) or target.endswith(("/", os.sep)):
        return True
    return os.path.isdir(sources[0]) or _is_pattern(sources[0])


def find(
    sources: Sequence[str],
    folder: str,
    suffixes: Collection[str],
    suffix: str,
    force: bool = False,
) -> Listing:
    """Return the files to be made; each word may be a path or a URL.

    Args:
        sources: folders, which are searched with all folders in them, patterns like `**/*.png`,
            and files. Of several, a folder keeps its name in `folder`; a single one does not.
        folder: what to write into; folders below the sources are made there, too.
        suffixes: of the files to be taken from a folder, lower case.
        suffix: of those to be made. Two files that would get one name keep their own suffix in it.
        force: whether existing files are replaced.

    Raises:
        AicError: there is nothing to be done.
    """
    like_a_file = os.path.splitext(folder)[1].lower() in (suffix, *suffixes)
    is_there = os.path.exists(folder.rstrip(f"/{os.sep}"))  # a slash would hide a file
    if not os.path.isdir(folder) and (is_there or like_a_file):
        many = f"there are {len(sources)} sources"
        if len(sources) == 1:
            many = f"{sources[0]} may be many files"
        raise AicError(f"{folder}: is no folder, and {many}")
    listing = Listing(force)
    found: dict[tuple[str, Path], Location] = {}
    folders = lru_cache(maxsize=None)(os.path.realpath)
    for word in sources:
        made = 0  # by a run before, it seems
        feeds = suffix in suffixes and _is_below(folder, _base(word))
        for path, name in _of_word(word, len(sources) > 1, suffixes, suffix, listing):
            if feeds and _is_below(str(path), folder):
                made += 1
                continue
            key = path if isinstance(path, str) else os.path.join(folders(path.parent), path.name)
            found.setdefault((key, name), path)
        if made:
            listing.notes.append(
                (Path(folder), f"left alone: {made} file{'s' * (made > 1)}, it is written into")
            )
    names = target_names([name for _, name in found], suffix)
    paths = list(found.values())
    inputs = _Inputs(paths if suffix in suffixes else ())
    for path, (name, rival) in zip(paths, names, strict=True):
        target = urls.join(folder, name)
        if rival is not None:
            listing.failed.append((path, f"{target} would be made of {paths[rival]}, too"))
        elif inputs.holds(target, path):
            listing.failed.append((path, f"{target} is another input"))
        else:
            listing.pairs.append((str(path), target))
    if not found and len(listing.failed) <= 1:
        for path, why in listing.failed:
            raise AicError(named(why, path))
        raise AicError(f"{' '.join(sources)}: no files ({' '.join(sorted(suffixes))})")
    return listing


def target_names(names: Sequence[Path], suffix: str) -> list[tuple[Path, int | None]]:
    """Return what files are called once they are made, and the first that would be called alike.

    `a.png` becomes `a.aic`. All that would share this name keep their suffix, `a.png.aic`, and so
    does a file that would be called like one of these. So a name depends on sources alone, and
    no two files are made under one.
    """
    made = [name.with_suffix(suffix) for name in names]
    short = [True] * len(names)
    owners: dict[str, list[int]] = defaultdict(list)
    for number, name in enumerate(made):
        owners[_key(name)].append(number)
    shared = [key for key, numbers in owners.items() if len(numbers) > 1]
    while shared:
        key = shared.pop()
        movers = [number for number in owners[key] if short[number]]
        owners[key] = [number for number in owners[key] if not short[number]]
        for number in movers:
            short[number] = False
            made[number] = names[number].with_name(names[number].name + suffix)
            key = _key(made[number])
            owners[key].append(number)
            if len(owners[key]) > 1:
                shared.append(key)
    found: list[tuple[Path, int | None]] = []
    for number, name in enumerate(made):
        others = owners[_key(name)]
        rival = None if len(others) == 1 else others[others[0] == number]
        found.append((name, rival))
    return found


def _key(name: Path) -> str:
    """Return what two names have in common that are one to the system, as far as it tells.

    On macOS, most file systems take letters of either case, and accents in either form, as equal.
    """
    if sys.platform == "darwin":
        return unicodedata.normalize("NFC", unicodedata.normalize("NFD", str(name)).casefold())
    return os.path.normcase(name)


class _Inputs:
    """All files that are read, so that none is written over: --force does not mean those."""

    def __init__(self, paths: Sequence[Location]) -> None:
        self._paths = paths
        self._places: dict[object, Location] | None = None

    def holds(self, target: str, source: Location) -> bool:
        """Whether a target is there and an input, other than its own source."""
        place = _place(target)
        if place is None:
            return False
        if self._places is None:
            self._places = {_place(path): path for path in self._paths}
        return self._places.get(place, source) != source


def _place(path: Location) -> object:
    """Return what tells a file from all others; None: there is none."""
    if isinstance(path, str) and urls.is_url(path):
        return path
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _base(word: str) -> str:
    """Return the folder that a word searches, or the word where it searches none."""
    if urls.is_url(word) or os.path.isdir(word) or not _is_pattern(word):
        return word
    return str(_split(word)[0])


def _split(word: str) -> tuple[Path, tuple[str, ...]]:
    """Return the folder in which a pattern begins, and the parts of the pattern."""
    parts = Path(word).parts
    first = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:first]), parts[first:]


def _is_below(path: str, folder: str) -> bool:
    """Whether a path lies in a folder, or in one of those in it."""
    if urls.is_url(path) or urls.is_url(folder) or not os.path.isdir(folder):
        return False
    return Path(os.path.realpath(folder)) in Path(os.path.realpath(path)).parents


def _of_word(
    word: str, several: bool, suffixes: Collection[str], suffix: str, listing: Listing
) -> Iterator[tuple[Location, Path]]:
    """Yield the files that a word names, and where they lie below the folder to write into."""
    if urls.is_url(word):
        yield from _of_url(word, several, suffixes, suffix, listing)
    elif os.path.isdir(word):
        base = Path(word)
        root = Path(base.name if several and base.name != ".." else "")
        others = 0
        for names in _walk(base, listing):
            path = base.joinpath(*names)
            kind = path.suffix.lower()
            if kind in suffixes and _may_be_read(path):
                yield path, root.joinpath(*names)
            elif kind in suffixes or kind != suffix:
                others += 1
        if others:
            listing.notes.append((base, f"left alone: {others} of other kinds"))
    elif _is_pattern(word):
        base, pattern = _split(word)
        fits, others, num_failed = False, 0, len(listing.failed)
        for names in _walk(base, listing, lambda names: _fits(names, pattern, partly=True)):
            path = base.joinpath(*names)
            if _fits(names, pattern) and _may_be_read(path):
                fits = True
                yield path, Path(*names)
            elif _fits(names, pattern):
                others += 1
        if others:
            listing.notes.append((Path(word), f"left alone: {others} that are no files"))
        if not fits and len(listing.failed) == num_failed:
            listing.failed.append((Path(word), "no file matches"))
    elif os.path.isfile(word):
        yield Path(word), Path(Path(word).name)
    else:
        listing.failed.append((Path(word), _why_no_file(word)))


def _of_url(
    word: str, several: bool, suffixes: Collection[str], suffix: str, listing: Listing
) -> Iterator[tuple[str, Path]]:
    """Yield the files that a URL names, by the rules for paths."""
    from imgcodec.pictures.geo.geotiff import sides

    try:
        base, found = urls.names(word)
        if found is None:
            folder, name = word.rsplit("/", 1)
            theirs = [urls.join(folder, Path(side)) for side in sides(name)]
            if there := [url for url in theirs if urls.exists(url)]:
                listing.sides[word] = there
    except FileNotFoundError:
        listing.failed.append((word, urls.why_missing(word)))
        return
    except AicError as error:
        listing.failed.append((word, str(error)))
        return
    if found is None:
        if _leads_below((name,)):
            yield word, Path(name)
        else:
            listing.failed.append((word, _NO_PATH))
        return
    known = set(found)
    pattern = urls.pattern(word)
    root = Path(base.rsplit("/", 1)[-1] if several and pattern is None else "")
    others, fits = 0, False
    for names in found:
        kind = Path(names[-1]).suffix.lower()
        if kind in suffixes if pattern is None else _fits(names, pattern):
            fits = True
            url = urls.join(base, Path(*names))
            if not _leads_below(names):
                listing.failed.append(("/".join((base, *names)), _NO_PATH))
                continue
            if beside := known & {(*names[:-1], side) for side in sides(names[-1])}:
                listing.sides[url] = [urls.join(base, Path(*side)) for side in sorted(beside)]
            yield url, root.joinpath(*names)
        elif kind != suffix:
            others += 1
    if not fits and pattern is not None:
        listing.failed.append((word, "no file matches"))
    if others and pattern is None:
        listing.notes.append((word, f"left alone: {others} of other kinds"))


def _leads_below(names: tuple[str, ...]) -> bool:
    """Whether names of a store, which may be any, lead to a place below a folder here."""
    return ".." not in names and Path(*names).parts == names


def _walk(
    base: Path, listing: Listing, enters: Callable[[tuple[str, ...]], bool] = lambda _: True
) -> Iterator[tuple[str, ...]]:
    """Yield the files below a folder, each as the names that lead to it, sorted.

    Links are followed, but no folder is read twice: where one is reached by several ways, the
    way without links counts.
    """
    files: list[tuple[str, ...]] = []
    seen: set[tuple[int, int]] = set()
    folders: deque[tuple[str, ...]] = deque([()])
    links: deque[tuple[str, ...]] = deque()
    while folders or links:
        names = folders.popleft() if folders else links.popleft()
        path = base.joinpath(*names)
        try:
            status = os.stat(path)
            if (status.st_dev, status.st_ino) in seen:
                listing.notes.append((path, "leads to a folder that is read already"))
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(path) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            listing.failed.append((path, reason(error)))
            continue
        for entry in entries:
            inner = (*names, entry.name)
            if not _is_folder(entry):
                files.append(inner)
            elif enters(inner):
                (links if entry.is_symlink() else folders).append(inner)
    yield from sorted(files)


def _fits(names: Sequence[str], pattern: Sequence[str], partly: bool = False) -> bool:
    """Whether names match a pattern as in a shell; `partly`: as the first ones of more names."""
    if not names:
        return bool(pattern) if partly else set(pattern) <= {"**"}
    if not pattern:
        return False
    hidden = names[0].startswith(".") and not pattern[0].startswith(".")
    if pattern[0] == "**":
        further = not hidden and _fits(names[1:], pattern, partly)
        return further or _fits(names, pattern[1:], partly)
    return not hidden and fnmatch(names[0], pattern[0]) and _fits(names[1:], pattern[1:], partly)


def _may_be_read(path: Path) -> bool:
    """Whether a path is a file, or something that has to be told when it is read."""
    return os.path.isfile(path) or not os.path.exists(path)


def _why_no_file(path: str) -> str:
    """Say what a path is, or why that is not to be known, that is neither a file nor a folder."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return "leads to nothing" if os.path.islink(path) else "is not there"
    except OSError as error:
        return reason(error)
    return "is not a regular file"


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    """Whether an entry is a folder or leads to one."""
    try:
        return entry.is_dir()
    except OSError:  # what it is has to be told when it is read
        return False


def _is_pattern(source: str) -> bool:
    return glob.has_magic(source) and not os.path.lexists(source)
