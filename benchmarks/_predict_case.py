"""The network, the volume and the stopwatch of the prediction benchmark, for us and for MONAI.

Plain torch: it is imported in the rival's environment too.
"""
# SPDX-License-Identifier: Apache-2.0

import json
import resource
import threading
import time
from pathlib import Path

import torch
from torch import nn

SHAPE = (120, 126, 164)
SEED = 20261121


class Network(nn.Module):
    """A small U-Net of two levels with fixed weights; counts its own CPU seconds."""

    def __init__(self, width, classes):
        super().__init__()
        torch.manual_seed(SEED)
        self.enter = nn.Sequential(nn.Conv3d(1, width, 3, padding=1), nn.LeakyReLU(0.01))
        self.down = nn.Sequential(
            nn.Conv3d(width, 2 * width, 3, stride=2, padding=1), nn.LeakyReLU(0.01)
        )
        self.up = nn.Conv3d(2 * width, width, 3, padding=1)
        self.merge = nn.Sequential(nn.Conv3d(2 * width, width, 3, padding=1), nn.LeakyReLU(0.01))
        self.leave = nn.Conv3d(width, classes, 1)
        self.cpu_s = 0.0
        self.tiles = 0

    def forward(self, x):
        start = time.process_time()
        fine = self.enter(x)
        coarse = nn.functional.interpolate(self.up(self.down(fine)), size=fine.shape[2:])
        out = self.leave(self.merge(torch.cat([fine, coarse], dim=1)))
        self.cpu_s += time.process_time() - start
        self.tiles += len(x)
        return out


def volume(kind):
    """Noise everywhere, or in a corner only: elsewhere -1000 as in air."""
    generator = torch.Generator().manual_seed(SEED)
    x = torch.randn(1, *SHAPE, generator=generator)
    if kind != "air":
        return x
    out = torch.full_like(x, -1000.0)
    out[:, :60, :63, :82] = x[:, :60, :63, :82]
    return out


def rss_mb():
    """Memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


class Peak:
    """The most memory that a block held beyond what there was before it."""

    def __enter__(self):
        self.start = self.most = rss_mb()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self):
        while not self._stop.wait(0.002):
            self.most = max(self.most, rss_mb())

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self.most = max(self.most, rss_mb())

    @property
    def mb(self):
        return self.most - self.start


def measured(work, network, patch, keep):
    """Run once, warm, and print what it took; ``work`` gives labels and, if kept, logits."""
    torch.set_num_threads(1)
    with torch.inference_mode(), Peak() as tile:
        network(torch.zeros(1, 1, *patch))
    network.cpu_s = network.tiles = 0
    with Peak() as peak:
        start = time.process_time()
        found = work()
        cpu = time.process_time() - start
    if keep:
        torch.save(found, keep)
    answer = {
        "cpu_s": cpu,
        "network_s": network.cpu_s,
        "tiles": network.tiles,
        "tile_mb": tile.mb,
        "peak_mb": peak.mb,
    }
    print(json.dumps(answer))
