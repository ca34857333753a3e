"""One run of `aic bench`: what is measured, and where it is written."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgcodec import files
from imgcodec.bench import COMCNN, COMPRESSAI, RESTORED, commands, compare, page, plot, report
from imgcodec.bench.cache import Cache, default_folder
from imgcodec.bench.coders import Aic, Coder, Peer, PreparedJpeg, RestoredJpeg, aic_name
from imgcodec.bench.compare import Comparison
from imgcodec.bench.measure import find_pictures, run
from imgcodec.bench.rows import Row, means
from imgcodec.bench.table import table
from imgcodec.errors import AicError
from imgcodec.releases import DEFAULT_TUNE

if TYPE_CHECKING:
    from imgcodec.codec import Codec


@dataclass
class Benchmark:
    """Settings of `aic bench`, and what it found."""

    folder: Path
    command: str  # that asked for it
    codecs: tuple[str, ...]
    rates: tuple[float, ...]
    qualities: tuple[float, ...]
    tunes: tuple[str, ...]
    weights: tuple[Path, ...]
    effort: int
    repeat: int
    jobs: int
    metrics: tuple[str, ...]  # besides PSNR and MS-SSIM
    commands: bool
    csv_file: Path | None
    json_file: Path | None
    plot_file: Path | None
    report_dir: Path | None
    cache_dir: Path | None
    no_cache: bool
    device: str
    threads: int | None
    max_pixels: int
    force: bool
    quiet: bool
    rows: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Refuse what cannot work, then load the codecs."""
        targets = [*filter(None, (self.csv_file, self.json_file, self.plot_file))]
        for target in targets:
            files.check_free(target, self.force)
        if len({os.path.realpath(target) for target in targets}) < len(targets):
            raise AicError("--csv, --json and --plot would write one file")
        if self.report_dir is not None:
            for target in targets:
                if page.is_own(self.report_dir, target):
                    raise AicError(f"{target}: is a file of the --report")
        if self.plot_file is not None:
            plot.check(self.plot_file)
        self._paths = find_pictures(self.folder)
        self._loaded: list[Codec] = []
        self._coders = [
            coder for name in dict.fromkeys(self.codecs) for coder in self._coders_of(name)
        ]
        threads, gpu = self._machine()
        self._environment = report.environment(threads, gpu, self.repeat, self.jobs)
        self._cache: Cache | None = None
        self._commands: list[commands.CommandRow] = []
        self._failures: list[str] = []  # of what was asked besides rows
        self._started = datetime.now().astimezone().isoformat(timespec="seconds")
        if self.report_dir is not None:  # last, since `tidy` is for those that began
            page.check(self.report_dir, self.force, self._paths)

    def _coders_of(self, name: str) -> list[Coder]:
        if name.startswith(COMPRESSAI):
            from imgcodec.bench.compressai import CompressAI

            return [CompressAI(name.removeprefix(COMPRESSAI))]
        if name == RESTORED:
            return [RestoredJpeg(threads=self.threads)]
        if name == COMCNN:
            return [PreparedJpeg(threads=self.threads)]
        if name != "aic":
            return [Peer(name)]
        from imgcodec.codec import Codec

        machine: dict[str, Any] = {"device": self.device, "threads": self.threads}
        tunes = self.tunes if self.tunes or self.weights else (DEFAULT_TUNE,)
        sets: list[tuple[str, dict[str, Any]]] = [
            (tune, {"tune": tune}) for tune in dict.fromkeys(tunes)
        ]
        sets += [(path.stem, {"weights": path}) for path in dict.fromkeys(self.weights)]
        kinds = [(self.rates, True), (self.qualities, False)]
        kinds = [(tuple(dict.fromkeys(some)), by_rate) for some, by_rate in kinds if some]
        names = [aic_name(name, by_rate) for name, _ in sets for _, by_rate in kinds]
        if twice := [name for name in names if names.count(name) > 1]:
            raise AicError(f"two sets of weights would be called {twice[0]}: rename a file")
        found: list[Coder] = []
        for weights, given in sets:
            codec = Codec(**given, **machine)
            self._loaded.append(codec)
            found += [
                Aic(codec, chosen, self.effort, weights, by_rate) for chosen, by_rate in kinds
            ]
        return found

    def _machine(self) -> tuple[int, str | None]:
        """Return torch's CPU threads and the name of the GPU that is used."""
        import torch

        gpu = any(codec.device.startswith("cuda") for codec in self._loaded)
        return torch.get_num_threads(), torch.cuda.get_device_name() if gpu else None

    def measure(self) -> BaseException | None:
        """Measure all rows; return what ended it, by a signal, with what was found by then."""
        from tqdm import tqdm

        if not self.no_cache:
            circumstances = {**self._environment, "metrics": list(self.metrics)}
            self._cache = Cache(self.cache_dir or default_folder(), circumstances)
        progress = partial(tqdm, unit="picture", disable=self.quiet)
        found = run(
            self._coders, self.folder, self.repeat, progress, self.jobs, self._cache, self.metrics,
            self.max_pixels,
        )  # fmt: skip
        try:
            for row in found:
                self.rows.append(row)
            if self.commands:
                self._measure_commands()
        except (KeyboardInterrupt, SystemExit) as ended:
            return ended
        return None

    def _measure_commands(self) -> None:
        """Time whole commands on the first picture that could be measured."""
        names = [name for name in dict.fromkeys(self.codecs) if name in commands.COMMANDS]
        measured = self._measured()
        if not measured:
            self._failures.append("--commands: no picture was measured")
            return
        try:
            self._commands = commands.measure(
                names, measured[0], max(self.repeat, 3), self.max_pixels
            )
        except AicError as error:
            self._failures.append(f"--commands: {error}")

    def _measured(self) -> list[Path]:
        """Return the pictures that have a measurement."""
        names = {row.picture for row in self.rows if not row.error}
        return [path for path in self._paths if path.name in names]

    @property
    def failed(self) -> list[str]:
        """What failed, in words."""
        bad = sum(bool(row.error) for row in self.rows)
        return [f"{bad} of {len(self.rows)} measurements failed"] * (bad > 0) + self._failures

    @property
    def note(self) -> str:
        """What is lost for a next run, "" if nothing is."""
        refusal = "" if self._cache is None else self._cache.refusal
        return f"rows are measured again in a next run: {refusal}" if refusal else ""

    def text(self, shown: Callable[[str], str]) -> str:
        """Return what a terminal shows, names and what is told of them as `shown` has them."""
        rows = [
            replace(
                row, picture=shown(row.picture), codec=shown(row.codec), error=shown(row.error)
            )
            for row in self.rows
        ]
        parts = [table(rows, means(rows))]
        comparisons, missing = _compared(rows)
        if comparisons:
            parts.append(compare.table(comparisons, shown(self._anchor())))
        if missing:
            parts.append(missing)
        if self._commands:
            parts.append(commands.table(self._commands))
        machine = self._environment
        where = machine["gpu"] or machine["processor"]
        threads = machine["threads"]
        parts.append(f"{where}, {threads} CPU thread{'s' * (threads > 1)}")
        return "\n\n".join(parts)

    def _anchor(self) -> str:
        """Return the codec that the others are compared with: the first that is not aic."""
        names = [coder.name for coder in self._coders]
        return next((name for name in names if not compare.is_aic(name)), names[0])

    def write(self) -> None:
        """Write the files that were asked for; one that cannot be written hinders no other."""
        comparisons, missing = _compared(self.rows)
        names = [coder.name for coder in self._coders]
        paths = self._measured()
        run = {
            "date": self._started,
            "command": self.command,
            "outcome": missing or compare.outcome(comparisons, names, len(paths)),
        }
        result: dict[str, Any] = report.as_result(
            self.rows, self._coders, comparisons, self._commands, self._environment, run
        )
        asked: list[tuple[Path | None, Callable[[Path], None]]] = [
            (self.csv_file, partial(report.to_csv, self.rows)),
            (self.json_file, partial(report.to_json, result)),
            (self.plot_file, partial(plot.draw, means(self.rows))),
            (self.report_dir, partial(self._write_page, result, paths)),
        ]
        for target, write in asked:
            try:
                if target is not None:
                    write(target)
            except AicError as error:
                self._failures.append(str(error))

    def tidy(self) -> None:
        """Remove the folder of a report into which nothing was written."""
        if self.report_dir is not None:
            page.drop_empty(self.report_dir)

    def _write_page(self, result: dict[str, Any], paths: Sequence[Path], folder: Path) -> None:
        """Write a report of what was measured of some pictures."""
        from tqdm import tqdm

        if not paths:
            raise AicError(f"{folder}: no picture was measured")
        progress = partial(tqdm, unit="view", disable=self.quiet)
        report.to_csv(self.rows, folder / page.CSV)
        report.to_json(result, folder / page.JSON)
        self._failures += page.write(
            folder, result, self._coders, paths, self.rates, progress, not self.no_cache,
            self.metrics,
        )  # fmt: skip


def _compared(rows: Sequence[Row]) -> tuple[list[Comparison], str]:
    """Return the comparisons, or none and why there are none."""
    try:
        return compare.compare(rows), ""
    except AicError as error:
        return [], str(error)
