"""The command `aic`, also as `python -m imgcodec`."""

import sys


def main() -> None:
    """Load the command and run it; Ctrl-C ends both in the same way."""
    try:
        from imgcodec.cli import main as aic
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    aic(prog_name="aic")


if __name__ == "__main__":
    main()
