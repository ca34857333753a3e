"""Fixtures that the tests of the command share."""

from test_cli import aic, album, coded, photo  # noqa: F401
