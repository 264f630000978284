"""Curves with bands and forest plots: pictures, the same for the same input."""

import math

import matplotlib.image
import numpy as np

from vesalius.study._curve_charts import Banded, Bar, curves, forest, open_figure

X = np.linspace(0, 1, 20)
LIMITS = (0.0, 1.0, 0.0, 1.0)


def pixels(chart, tmp_path):
    path = tmp_path / "chart.png"
    path.write_bytes(chart.png)
    return matplotlib.image.imread(path)


def test_a_band_is_drawn_around_its_curve(tmp_path):
    plain = curves("t", "n", [Banded("", X, X)], axes=("x", "y"), limits=LIMITS)
    band = Banded("", X, X, X - 0.2, X + 0.2)
    banded = curves("t", "n", [band], axes=("x", "y"), limits=LIMITS)
    ink = [(pixels(chart, tmp_path)[..., 3] > 0.02).mean() for chart in (plain, banded)]
    assert ink[1] > ink[0] + 0.1


def test_the_ground_is_clear_for_light_and_dark_pages(tmp_path):
    chart = curves("t", "n", [Banded("", X, X)], axes=("x", "y"), limits=LIMITS)
    assert pixels(chart, tmp_path)[0, 0, 3] == 0


def test_the_same_curves_are_the_same_bytes():
    of = [Banded("a", X, X, style="dots"), Banded("b", X, X, style="dashed")]
    one, again = (curves("t", "n", of, axes=("x", "y"), limits=LIMITS).png for _ in "ab")
    assert one == again


def test_a_forest_grows_with_its_rows(tmp_path):
    few = forest("t", "n", [Bar("a", 0.5, 0.4, 0.6)], axis="AUC", reference=0.5)
    rows = [Bar("heading"), *(Bar(f"r{k}", k / 20, note="n = 3") for k in range(15))]
    many = forest("t", "n", rows, axis="AUC")
    assert pixels(many, tmp_path).shape[0] > 2 * pixels(few, tmp_path).shape[0]


def test_a_row_without_a_value_is_a_heading():
    assert math.isnan(Bar("sex").value)
    assert forest("t", "n", [Bar("sex")], axis="AUC").png


def test_rows_of_a_figure_share_their_axis():
    _, axes = open_figure(heights=(3.0, 1.0))
    axes[0].set_xlim(2, 5)
    assert axes[1].get_xlim() == (2, 5)
