"""
From becquerel to SUV
=====================

A PET scanner stores Bq/mL, corrected for decay to the start of the scan (START) or to the injection
(ADMIN). The dose has to be taken at the same moment. A reader that does not look is wrong by a
factor that grows with the time between injection and scan.
"""

# SPDX-License-Identifier: Apache-2.0

import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pydicom
import torch

from vesalius import io
from vesalius.core import Grid, Image
from vesalius.io.dicom import Caption, save_series

HALF_LIFE_S, DOSE_BQ, WEIGHT_KG = 6586.2, 350e6, 80.0
grid = Grid.from_spacing((3, 64, 64), (4.0, 4.0, 4.0), origin_mm=(-126.0, -126.0, 0.0))
y, x = torch.meshgrid(torch.arange(64) - 31.5, torch.arange(64) - 31.5, indexing="ij")
truth = torch.where((x / 26) ** 2 + (y / 19) ** 2 < 1, 1.0, 0.0)
truth[(x + 10) ** 2 + (y - 2) ** 2 < 16] = 8.0
truth[(x - 12) ** 2 + (y + 3) ** 2 < 36] = 3.0


def scan(folder: Path, minutes: float, correction: str) -> Path:
    """Write what a scanner would, so many minutes after the injection."""
    decay = 2 ** (-60 * minutes / HALF_LIFE_S) if correction == "START" else 1.0
    activity = (truth * DOSE_BQ * decay / (1000 * WEIGHT_KG)).expand(1, *grid.shape)
    when = Caption(when="20260305110000")
    save_series(Image(activity.round(), grid, "Bq/mL"), folder, caption=when)
    drug = pydicom.Dataset()
    drug.RadionuclideTotalDose, drug.RadionuclideHalfLife = DOSE_BQ, HALF_LIFE_S
    given = datetime(2026, 3, 5, 11) - timedelta(minutes=minutes)
    drug.RadiopharmaceuticalStartDateTime = given.strftime("%Y%m%d%H%M%S")
    for path in folder.rglob("*.dcm"):
        file = pydicom.dcmread(path)
        file.AcquisitionDate, file.AcquisitionTime = file.SeriesDate, file.SeriesTime
        file.PatientWeight, file.DecayCorrection = WEIGHT_KG, correction
        file.RadiopharmaceuticalInformationSequence = [drug]
        file.save_as(path)
    return folder


# %%
# Scans 30 to 180 minutes after the injection, and what is read of the hot spot, whose SUV is 8.

root, minutes, read = Path(tempfile.mkdtemp()), np.arange(30, 181, 30), {"START": [], "ADMIN": []}
for rule, values in read.items():
    for late in minutes:
        image = io.open(scan(root / f"{rule}{late}", float(late), rule)).read()
        values.append(float(image.data.max()))
print(image.unit, read)

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), width_ratios=(1, 1.25))
shown = left.imshow(image.data[0, 1], cmap="magma", vmax=8)
left.set(title="read from Bq/mL", xticks=[], yticks=[])
figure.colorbar(shown, ax=left, label="SUV, body weight")
wrong = 2 ** (-60 * minutes / HALF_LIFE_S)
right.plot(minutes, read["START"], "o-", markersize=10, label="START, as read")
right.plot(minutes, read["ADMIN"], "s-", label="ADMIN, as read")
right.plot(minutes, 8 / wrong, ":", color="#8c8279", label="ADMIN, taken for START")
right.plot(minutes, 8 * wrong, "--", color="#8c8279", label="START, taken for ADMIN")
right.set(xlabel="injection to scan, min", ylabel="SUV of the hot spot", title="The truth is 8")
right.set_yscale("log", base=2)
right.set(ylim=(2, 40), yticks=(2, 4, 8, 16, 32), yticklabels=("2", "4", "8", "16", "32"))
right.legend(loc="upper left")
plt.show()
