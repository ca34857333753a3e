"""The command `aic`: options in, words out; one file a command, each with its own options.

May import all of the package, but what is slow only inside the commands: `aic --help` loads click
alone. Nothing imports it.
"""

from typing import Any

import click

from imgcodec import __version__
from imgcodec.cli import bench, decode, encode, info, inspect, pack, process, restore, train, trim
from imgcodec.errors import AicError

INTERRUPTED = 130  # exit code after Ctrl-C, as shells have it: 128 + SIGINT


class _Group(click.Group):
    """Shows an expected error as one line with exit code 1; a bug keeps its traceback."""

    def main(self, *args: Any, **words: Any) -> Any:
        """Run as the process's command."""
        process.escape_output()
        # on Windows, click would look for files whose names match, where a name has brackets, and
        # hand over what patterns find without the folders
        words = {"windows_expand_args": False, **words}
        with process.alone_on_stderr(), process.ending_by_signals():
            try:
                return super().main(*args, **words)
            except OSError as error:
                process.refuse(error)

    def invoke(self, ctx: click.Context) -> object:
        """Run a command."""
        try:
            process.check_folder()
            process.hush_loggers()
            with process.enough_memory():
                return super().invoke(ctx)
        except AicError as error:
            raise click.ClickException(str(error)) from error
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            raise click.ClickException("torch is not installed: pip install torch") from error
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="aic")
def main() -> None:
    """A learned image codec: small files of photographs, at the rate asked.

    Exit codes: 0 done, 1 refused (stderr says why), 2 wrong usage, 130 interrupted, 143
    terminated.
    """


for _command in (
    encode.encode, decode.decode, trim.trim, pack.pack, pack.unpack, restore.restore, bench.bench,
    info.info, inspect.inspect, train.train,
):  # fmt: skip
    main.add_command(_command)
