"""
One convention for every CT geometry
====================================

At angle 0 the source is on +x, the patient's left. It moves counter-clockwise seen from +z, from
above the head; a radiologist looks from the feet, and sees it move clockwise. ``u`` runs along a
detector row in the sense of the motion, ``v`` along +z.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import torch
from matplotlib.patches import Ellipse

from vesalius.physics.ct import cone

# %%
# A cone beam at 40 degrees; everything drawn below is read from the geometry's vectors.

scan = cone(
    torch.tensor([0.0, 40.0]),
    shape=(3, 9),
    pitch_mm=(60.0, 60.0),
    source_mm=500.0,
    detector_mm=800.0,
)


def draw(axis, side: float, title: str) -> None:
    """Look along z: ``side`` is 1 from above the head, -1 from the feet; x is to the right."""
    axis.add_patch(Ellipse((0, 0), 330, 220, fc="#efe6dc", ec="#8c8279"))
    axis.text(120, 0, "L", ha="center", va="center")
    axis.text(0, 80, "P", ha="center", va="center")
    turn = torch.deg2rad(torch.linspace(0, 40, 30))
    axis.plot(500 * turn.cos(), 500 * turn.sin(), "k:", lw=1)
    for view, colour, shade in ((0, "#8c8279", 0.4), (1, "C0", 1.0)):
        s, c, u = (t[view, :2].numpy() for t in (scan.source, scan.centre, scan.u))
        edge = [c + (k - scan.middle[1]) * u for k in (-0.5, 8.5)]
        axis.plot(*zip(*edge, strict=True), color=colour, lw=3, alpha=shade)
        for end in edge:
            axis.plot(*zip(s, end, strict=True), color=colour, lw=0.7, alpha=shade)
        axis.plot(*s, "o", color=colour, ms=9, alpha=shade)
        axis.annotate(f"{scan.angles_deg[view]:g} deg", s, (8, 6), textcoords="offset points")
    c = c + 0.1 * (c - s)  # beside the detector, to be seen
    arrow = {"arrowstyle": "-|>", "color": "C1", "lw": 2.5, "mutation_scale": 18}
    axis.annotate("", c + 3.0 * u, c, arrowprops=arrow)
    axis.text(*(c + 3.4 * u), "u", color="C1", weight="bold", ha="center", va="center", size=13)
    axis.plot(*c, "o", color="C1", ms=12, mfc="white", mew=2)
    axis.plot(*c, "." if side > 0 else "x", color="C1", ms=7, mew=2)
    axis.text(*(c + 0.09 * (c - s)), "v", color="C1", weight="bold", ha="center", size=13)
    axis.set(title=title, xlabel="x (L), mm", ylabel="y (P), mm", aspect="equal")


# %%
# Left: from +z, v towards the reader. Right: from the feet, P downwards, v away from the reader.

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5.4))
draw(left, 1.0, "From above the head: counter-clockwise")
draw(right, -1.0, "Radiological view, from the feet: clockwise")
right.invert_yaxis()
plt.show()
