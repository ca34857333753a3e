"""The pages that benchmarks/pages.py renders and compares, without a browser."""

import math

import numpy as np
import pages
import pytest
from PIL import Image

CURVE = [(10.0, 1000.0), (50.0, 3000.0), (75.0, 6000.0), (90.0, 20000.0)]


def test_there_are_twelve_documents_the_same_every_time():
    found = dict(pages.documents())
    assert len(found) == 12
    assert found == dict(pages.documents())
    assert all("<" in body for body in found.values())


def test_ratios_are_those_of_bytes_at_equal_scores():
    double = [(score, 2 * size) for score, size in CURVE]
    assert pages.mean_ratio(CURVE, double) == pytest.approx(2)
    assert pages.at(double) == pytest.approx(2 * pages.at(CURVE))
    assert 3000 < pages.at(CURVE) < 6000
    assert math.isnan(pages.at(CURVE[:2]))  # 70 is not reached
    assert math.isnan(pages.mean_ratio(CURVE, [(95.0, 1.0), (99.0, 2.0)]))


def test_curves_leave_out_what_more_bytes_make_worse():
    rows = [{"bytes": size, "ssimulacra2": score} for score, size in ((5, 30), (9, 10), (12, 40))]
    assert pages.curve(rows) == [(9, 10), (12, 40)]


def test_the_report_has_a_line_for_each_page_and_a_mean(tmp_path, capsys):
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "one.png")
    rows = [
        {"picture": "one.png", "codec": codec, "bytes": factor * size, "ssimulacra2": score}
        for codec, factor in ((pages.ANCHOR, 1), ("aic-eye-quality", 3), ("aic-eye", 9))
        for score, size in CURVE
    ]
    pages.report(tmp_path, rows)
    *_, page, mean = capsys.readouterr().out.splitlines()
    assert page.split()[0] == "one"
    assert page.split()[-2:] == mean.split()[-2:] == ["3.00", "3.00"]
