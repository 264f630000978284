"""Make hero: the picture on the project's first page, from the folder that the demo wrote.

Run: vesalius demo --out DEMO && python docs/make_hero.py DEMO docs/_static/demo.png
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import io
import json
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

PAPER, INK, SOFT, LINE = "#0b0d10", "#f2f4f5", "#9aa4ab", "#2b3238"
WIDTH = 1600
SHOWN = ("nodule", "lung_right", "heart", "aorta", "liver", "spleen")
COLUMNS = {"Volume": 12.0, "Mean": 45.0, "Max. diameter": 5.0}
"""Quantities, and what half the width of a column stands for: percent, or HU for the mean."""


def picture(path: Path) -> np.ndarray:
    """Read the overview without its empty margins at the top and around the legend."""
    pixels = np.asarray(Image.open(path).convert("RGB"))
    full = np.abs(pixels.astype(int) - pixels[0, 0]).max(axis=(1, 2)) > 12
    rows = np.flatnonzero(full)
    return pixels[max(0, rows[0] - 14) : rows[-1] + 22]


def draw_rows(ax: Axes, rows: list[dict], colours: dict[str, str]) -> None:
    """Draw a table of values with their error bars."""
    ax.set(xlim=(0, 100), ylim=(len(rows) - 0.4, -1.15))
    ax.set_axis_off()
    for k, title in enumerate(COLUMNS):
        ax.text(17 + 28 * k, -0.75, title, color=SOFT, fontsize=11, va="center")
    for y, row in enumerate(rows):
        name = row["label"].replace("_", " ")
        ax.plot([1.2], [y], "o", color=colours[row["label"]], markersize=8)
        ax.text(2.6, y, name, color=INK, fontsize=13, va="center", weight="bold")
        for k, (title, half) in enumerate(COLUMNS.items()):
            draw_cell(ax, (17 + 28 * k, y), row["quantities"][title], half, colours[row["label"]])


def draw_cell(ax: Axes, at: tuple[float, float], cell: dict, half: float, colour: str) -> None:
    """Draw one value: number, unit, and the 95% error bar on a line."""
    x, y = at
    bar = 1.96 * cell["sd"]
    digits = max(0, 1 - int(np.floor(np.log10(bar))))
    value = f"{cell['value']:,.{digits}f} ± {bar:.{digits}f}".replace("-", "\u2212")
    ax.text(x, y, f"{value} {cell['unit']}", color=INK, fontsize=13, va="center")
    reach = bar if cell["unit"] == "HU" else 100 * bar / abs(cell["value"])
    middle, size = x + 20.2, 4.6 * min(1.0, reach / half)
    ax.plot([middle - 4.6, middle + 4.6], [y, y], color=LINE, linewidth=1.2)
    ends = [middle - size, middle + size]
    ax.plot(ends, [y, y], color=INK, linewidth=1.6)
    ax.plot(ends, [y, y], "|", color=INK, markersize=8, markeredgewidth=1.6)
    ax.plot([middle], [y], "o", color=colour, markersize=6.5)


def make(folder: Path) -> Image.Image:
    """Put pictures and numbers together."""
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    by_name = {row["label"]: row for row in report["key_numbers"]}
    colours = {row["label"]: row["colour"] for row in report["histograms"]}
    rows = [by_name[name] for name in SHOWN if name in by_name]
    top = picture(folder / "figures" / "overview.png")
    upper = WIDTH * top.shape[0] / top.shape[1]
    lower = 56 * (len(rows) + 1.0)
    figure = Figure(figsize=(WIDTH / 100, (upper + lower) / 100), dpi=100, facecolor=PAPER)
    share = lower / (upper + lower)
    ax = figure.add_axes((0, share, 1, 1 - share))
    ax.imshow(top, interpolation="lanczos", aspect="auto")
    ax.set_axis_off()
    draw_rows(figure.add_axes((0.012, 0.01, 0.976, share - 0.01)), rows, colours)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor=PAPER)
    return Image.open(buffer).convert("RGB")


def in_few_colours(image: Image.Image, colours: list[str]) -> Image.Image:
    """Keep greys and the colours of the regions, alone and blended with greys: a small file."""
    greys = np.linspace(0, 255, 72)[:, None].repeat(3, axis=1)
    pure = np.array([[int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in colours], dtype=float)
    ground = np.array([11.0, 90.0, 190.0, 255.0])[:, None, None]
    blends = [share * pure + (1 - share) * ground for share in (0.35, 0.7)]
    table = np.concatenate([greys, pure, *(b.reshape(-1, 3) for b in blends)]).round()
    palette = Image.new("P", (1, 1))
    palette.putpalette(table.astype(np.uint8).ravel().tolist())
    return image.quantize(palette=palette, dither=Image.Dither.NONE)


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=Path, help="folder that the demo wrote")
    parser.add_argument("out", type=Path, help="PNG file")
    given = parser.parse_args()
    report = json.loads((given.demo / "report.json").read_text(encoding="utf-8"))
    colours = [row["colour"] for row in report["histograms"]]
    in_few_colours(make(given.demo), colours).save(given.out, optimize=True)


if __name__ == "__main__":
    main()
