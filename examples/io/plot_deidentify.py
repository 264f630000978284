"""
Take the names out
==================

A file from a scanner names the patient in more places than one thinks of. ``deidentify`` follows
PS3.15 Annex E and keeps only what a rule lets pass; text burned in to the picture is blanked
where it is known to stand, or where somebody points at it.
"""

# SPDX-License-Identifier: Apache-2.0

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pydicom
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundImageStorage, generate_uid

from vesalius.io.dicom import Profile, deidentify

# %%
# An ultrasound picture of nobody, its name at the top.

figure = plt.figure(figsize=(3.2, 2.4), dpi=100, facecolor="black", layout="none")
figure.text(0.02, 0.93, "DOE^JANE  1970-01-31  St Elsewhere", color="white", fontsize=8)
figure.canvas.draw()
pixels = np.asarray(figure.canvas.buffer_rgba())[..., 0].copy()
plt.close(figure)
y, x = np.mgrid[:240, :320]
reach, angle = np.hypot(y - 30, x - 160), np.arctan2(x - 160, y - 30)
speckle = np.random.default_rng(1).rayleigh(45, pixels.shape) * (1 + 1.2 * np.cos(reach / 17) ** 8)
fan = (reach < 195) & (np.abs(angle) < 0.65)
pixels[fan] = speckle[fan].clip(0, 255)

header = {f"{level}InstanceUID": generate_uid() for level in ("SOP", "Series", "Study")}
header |= {"PatientName": "Doe^Jane", "PatientID": "H-4711", "PatientBirthDate": "19700131"}
header |= {"StudyDate": "20260305", "InstitutionName": "St Elsewhere", "OperatorsName": "Poe^Sam"}
header |= {"StudyDescription": "liver, for Dr Roe", "PhotometricInterpretation": "MONOCHROME2"}
header |= {"Rows": 240, "Columns": 320, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
header |= {"PixelRepresentation": 0, "SamplesPerPixel": 1, "Modality": "US"}
header |= {"SOPClassUID": UltrasoundImageStorage, "Manufacturer": "Acme"}
file = pydicom.Dataset()
for keyword, value in (header | {"PixelData": pixels.tobytes()}).items():
    setattr(file, keyword, value)
file.private_block(0x0009, "ACME 1.0", create=True).add_new(1, "LO", "seen by Dr Roe")
file.file_meta = pydicom.dataset.FileMetaDataset()
file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
folder = Path(tempfile.mkdtemp())
source = folder / "doe_jane.dcm"
file.save_as(source, enforce_file_format=True)

# %%
# Ultrasound is refused until its text is dealt with: here a rectangle says where it stands.

print(deidentify(source, folder / "refused", key=folder / "key").text.splitlines()[1])
options = ("clean-pixel-data", "clean-descriptors", "retain-modified-dates")
profile = Profile(options, blank=((0, 0, 320, 24),))
deidentify(source, folder / "out", key=folder / "key", options=profile)
out = pydicom.dcmread(next((folder / "out").rglob("*.dcm")))

# %%
# What became of it: on the left what a header said and says, on the right the picture.

listed = [e for e in file if e.tag.group < 0x11 and e.tag != (0x0008, 0x0016)]
rows = [[e.keyword or str(e.tag), str(e.value), str(out.get(e.tag, "-"))] for e in listed]
rows = [[word, value[-22:], new.split(": ")[-1].strip("'")[-22:]] for word, value, new in rows]
parts = [["table", "before"], ["table", "after"]]
figure, axes = plt.subplot_mosaic(parts, figsize=(11, 5.4), width_ratios=(2.1, 1))
rows = [["attribute", "before", "after"], *rows]
table = axes["table"].table(rows, cellLoc="left", edges="horizontal", bbox=(0, 0, 1, 1))
table.auto_set_font_size(False)
plt.setp(list(table.get_celld().values()), edgecolor="#d9d2c8", fontsize=9)
for name, picture in (("before", pixels), ("after", out.pixel_array)):
    axes[name].imshow(picture, vmax=255)
    axes[name].set(title=name, xticks=[], yticks=[])
    axes[name].grid(False)
axes["table"].set_axis_off()
plt.show()
