"""Package: put a trained model into the library, with its card and the licence of its data.

Run: python benchmarks/package_models.py NAME TRAINED [METRIC=VALUE ...]; NAME is one of the cards
below, TRAINED a folder that ``vesalius train run`` wrote. Its own scores are kept; the metrics
given are added. The exact commands are in benchmarks/RESULTS.md.
"""
# SPDX-License-Identifier: Apache-2.0

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from vesalius.segment.networks import load_model, save_model

WEIGHTS = Path(__file__).parents[1] / "src" / "vesalius" / "segment" / "weights"


@dataclass(frozen=True)
class Words:
    """What a card says, and the licence file beside the weights."""

    purpose: str
    data: str
    limits: str
    licence: str
    notice: str
    names: dict[int, str]


WORDS = {
    "nuclei": Words(
        "Find nuclei in two-dimensional fluorescence images (DAPI, Hoechst): one label for each.",
        "136 fluorescence images of the 2018 Data Science Bowl, stage 1 (BBBC038, Broad Bioimage "
        "Benchmark Collection; Caicedo et al. 2019, doi:10.1038/s41592-019-0612-7; corrected "
        "annotations by K. Lopuhin), CC0. A fifth of the fluorescence images was held out.",
        "Not a medical device. Bright nuclei on a dark ground alone: not for histology (H&E), "
        "brightfield, whole cells or volumes. Objects much smaller than 8 or larger than 80 "
        "pixels need --diameter. Crowded nuclei of unequal brightness are its weakest case.",
        "CC0-1.0",
        "The weights in this folder were learned from images that their authors have placed in\n"
        "the public domain (CC0 1.0): BBBC038, 2018 Data Science Bowl. They are given under the\n"
        "same terms: https://creativecommons.org/publicdomain/zero/1.0/\n",
        {1: "nucleus"},
    ),
    "nuclei3d": Words(
        "Find nuclei in volumes of fluorescence microscopy: one label for each, native 3-D.",
        "Made volumes alone (vesalius.physics.optics.nuclei: touching ellipsoids, texture, blur, "
        "noise); no measured image was used.",
        "Not a medical device. Learned from made volumes: roundish nuclei of about the same size, "
        "up to twice as coarse in z as in the plane. Look at the labels before you use them.",
        "Apache-2.0",
        "The weights in this folder were learned from made volumes and are given under the\n"
        "licence of the library, Apache-2.0.\n",
        {1: "nucleus"},
    ),
    "hippocampus": Words(
        "Segment anterior and posterior hippocampus in T1-weighted MR crops of about 1 mm.",
        "120 of 150 crops of the Medical Segmentation Decathlon, Task04 (Antonelli et al. 2022, "
        "doi:10.1038/s41467-022-30695-9; data of Vanderbilt University Medical Center), "
        "CC BY-SA 4.0. 30 cases were held out and scored.",
        "Not a medical device. Crops around one hippocampus at 1 mm, adults with and without "
        "psychosis, one centre: whole heads must be cropped first, other spacings and contrasts "
        "were not tried and are flagged where they are noticed.",
        "CC-BY-SA-4.0",
        "The weights in this folder are adapted material of the Medical Segmentation Decathlon,\n"
        "Task04 Hippocampus (Antonelli et al. 2022, doi:10.1038/s41467-022-30695-9; data of\n"
        "Vanderbilt University Medical Center), licensed under CC BY-SA 4.0, and are given under\n"
        "the same licence: https://creativecommons.org/licenses/by-sa/4.0/\n"
        "Changes: a neural network was trained on the images and labels.\n",
        {1: "anterior hippocampus", 2: "posterior hippocampus"},
    ),
}


def main(name: str, trained: Path, metrics: dict[str, float]) -> None:
    words = WORDS[name]
    model = load_model(trained)
    card = replace(
        model.card,
        name=name,
        purpose=words.purpose,
        data=words.data,
        limits=words.limits,
        licence=words.licence,
        metrics={**model.card.metrics, **metrics},
    )
    folder = WEIGHTS / name
    save_model(
        folder, replace(model, card=card, plan=replace(model.plan, names=words.names)), half=True
    )
    (folder / "LICENSE").write_text(words.notice, encoding="utf-8")
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    print(json.dumps(sizes, indent=2))


if __name__ == "__main__":
    given = (word.split("=") for word in sys.argv[3:])
    main(sys.argv[1], Path(sys.argv[2]), {name: float(value) for name, value in given})
