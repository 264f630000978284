"""Cellpose's own flows and masks for the labels of a file, timed alone: ``... LABELS.npy``."""
# SPDX-License-Identifier: Apache-2.0

import json
import sys
import time
import types

import numpy as np

# torchvision does not run beside CPU torch here, and the dynamics never call it
stubs = ("", ".transforms", ".transforms.functional", ".transforms._functional_tensor")
for name in stubs:
    sys.modules["torchvision" + name] = types.ModuleType("torchvision" + name)
rooms = sys.modules["torchvision.transforms"]
rooms.functional = sys.modules["torchvision.transforms.functional"]
rooms._functional_tensor = sys.modules["torchvision.transforms._functional_tensor"]

import torch  # noqa: E402
from cellpose import dynamics  # noqa: E402

if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[2]))
    labels = np.load(sys.argv[1])
    device = torch.device("cpu")
    times: dict[str, list[list[float]]] = {"flows": [], "masks": []}
    for _ in range(4):
        wall, cpu = time.perf_counter(), time.process_time()
        flows = dynamics.masks_to_flows_gpu(labels, device=device)
        times["flows"].append([time.perf_counter() - wall, time.process_time() - cpu])
        flows = flows[0] if isinstance(flows, tuple) else flows
        wall, cpu = time.perf_counter(), time.process_time()
        masks = dynamics.resize_and_compute_masks(
            5 * flows,
            np.where(labels > 0, 6.0, -6.0).astype(np.float32),
            niter=200,
            device=device,
        )
        times["masks"].append([time.perf_counter() - wall, time.process_time() - cpu])
    masks = masks[0] if isinstance(masks, tuple) else masks
    best = {k: [min(t[0] for t in v[1:]), min(t[1] for t in v[1:])] for k, v in times.items()}
    print(json.dumps({**best, "objects": int(np.max(masks))}))
