"""`python -m imgcodec` is `aic`."""

from imgcodec.cli import main

if __name__ == "__main__":
    main(prog_name="aic")
