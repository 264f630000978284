"""How figures of the gallery look; Sphinx-Gallery calls ``style`` before each script."""
# SPDX-License-Identifier: Apache-2.0

INK = "#2b2622"
COLOURS = ("#8a1c1c", "#1f6f8b", "#c98a2b", "#4d7c4a", "#6b4c8a", "#8c8279")


def style(gallery_conf, fname):
    """Set fonts, colours and spines, and close what the last script left open."""
    import matplotlib.pyplot as plt
    from cycler import cycler

    plt.close("all")
    plt.rcdefaults()
    plt.rcParams.update(
        {
            "figure.dpi": 110,
            "savefig.dpi": 110,
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "axes.titlesize": 11,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.titlepad": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "#e9e4de",
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "legend.frameon": False,
            "lines.linewidth": 2.0,
            "lines.markersize": 5,
            "image.cmap": "gray",
            "axes.prop_cycle": cycler(color=COLOURS),
        }
    )
