"""MONAI's sliding_window_inference on the case of bench_segment_predict.py, in its own process.

``_rival_monai_window.py KIND CLASSES WIDTH Z,Y,X KEEP``; KEEP is a file for the logits, or "".
"""
# SPDX-License-Identifier: Apache-2.0

import sys

import torch
from _predict_case import Network, measured, volume
from monai.inferers import sliding_window_inference

if __name__ == "__main__":
    kind, classes, width, sizes, keep = sys.argv[1:]
    patch = tuple(int(n) for n in sizes.split(","))
    network = Network(int(width), int(classes)).eval()
    image = volume(kind)

    def work():
        with torch.inference_mode():
            logits = sliding_window_inference(
                image[None], patch, 1, network, overlap=0.5, mode="gaussian", sigma_scale=0.125
            )
            labels = logits.argmax(dim=1)[0].to(torch.uint8)
        return {"logits": logits[0], "labels": labels} if keep else {"labels": labels}

    measured(work, network, patch, keep)
