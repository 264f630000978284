"""Steps of a level set in its narrow band: geodesic flow, and flow with distance regularised."""
# SPDX-License-Identifier: Apache-2.0

from typing import no_type_check

import numpy as np

from vesalius.ops._jit import kernel


@kernel
@no_type_check
def _slope(phi, state, i, step):
    """Differences backward and forward; none across what is never free."""
    if step == 0:
        return np.float32(0), np.float32(0)
    back = phi[i] - phi[i - step] if state[i - step] < 2 else np.float32(0)
    ahead = phi[i + step] - phi[i] if state[i + step] < 2 else np.float32(0)
    return back, ahead


@kernel
@no_type_check
def slopes(phi, state, steps, ratio, band, size):
    """Measure the central slope of each voxel of the band; flat array ``size`` is filled there."""
    for i in band:
        total = np.float32(0)
        for a in range(3):
            back, ahead = _slope(phi, state, i, steps[a])
            d = np.float32(0.5) * ratio[a] * (back + ahead)
            total += d * d
        size[i] = np.sqrt(total)


@kernel
@no_type_check
def geodesic(phi, state, steps, ratio, band, fields, numbers):
    """Move by edge-stopped curvature and balloon and towards edges; all but curvature upwind.

    Each voxel takes the longest step that is stable there: where they come to rest is the same.
    """
    stop, size = fields
    curvature, balloon, attraction, longest = numbers
    change = np.empty(len(band), np.float32)
    for k in range(len(band)):
        i = band[k]
        g, p = stop[i], phi[i]
        push = balloon * g
        grow, shrink, carried, bent = 0.0, 0.0, 0.0, 0.0
        fastest, stiff = abs(push), 0.0
        for a in range(3):
            step = steps[a]
            if step == 0:
                continue
            back, ahead = _slope(phi, state, i, step)
            back *= ratio[a]
            ahead *= ratio[a]
            # Osher and Sethian: growing takes the slope from the inside, where phi is larger
            low, high = min(back, 0.0), max(ahead, 0.0)
            grow += low * low + high * high
            low, high = max(back, 0.0), min(ahead, 0.0)
            shrink += low * low + high * high
            towards = attraction * 0.5 * ratio[a] * (stop[i + step] - stop[i - step])
            carried += towards * (ahead if towards > 0 else back)
            # at twice the stable step a contour would jump back and forth across the valley
            fastest += 2 * abs(towards) * ratio[a]
            for j in (i - step, i + step):
                if state[j] < 2:
                    beside = size[j] if state[j] == 1 else size[i]
                    w = size[i] / max(0.5 * (size[i] + beside), 0.05)
                    w *= ratio[a] * ratio[a]
                    bent += w * (phi[j] - p)
                    stiff += w
        speed = carried + (push * np.sqrt(grow) if push > 0 else push * np.sqrt(shrink))
        bend = curvature * g
        dt = min(longest, 0.9 / max(fastest, bend * stiff, 1e-6))
        change[k] = dt * (speed + bend * bent)
    for k in range(len(band)):
        phi[band[k]] += change[k]


@kernel
@no_type_check
def regularised(phi, state, steps, ratio, band, fields, numbers):
    """Move by edge-stopped length and area, while a double well keeps the slope at 1 or 0."""
    stop, size = fields
    keep, length, area, width, dt = numbers
    change = np.empty(len(band), np.float32)
    for k in range(len(band)):
        i = band[k]
        p, spread, bent = phi[i], 0.0, 0.0
        for a in range(3):
            step = steps[a]
            if step == 0:
                continue
            for j in (i - step, i + step):
                if state[j] == 2:
                    continue
                beside = size[j] if state[j] == 1 else size[i]
                slope = 0.5 * (size[i] + beside)
                d = ratio[a] * ratio[a] * (phi[j] - p)
                spread += _well(slope) * d
                bent += 0.5 * (stop[i] + stop[j]) * d / max(slope, 1e-4)
        delta = 0.0
        if abs(p) <= width:
            delta = 0.5 / width * (1 + np.cos(np.pi * p / width))
        change[k] = dt * (keep * spread + delta * (length * bent + area * stop[i]))
    for k in range(len(band)):
        phi[band[k]] += change[k]


@kernel
@no_type_check
def _well(slope):
    """Diffusion of the double well: forward above slope 1, backward below, forward near 0."""
    if slope >= 1:
        return 1 - 1 / slope
    if slope < 1e-4:
        return 1.0
    return np.sin(2 * np.pi * slope) / (2 * np.pi * slope)


@kernel
@no_type_check
def edge_length(phi, state, steps, ratio, band, fields, width):
    """Measure the contour weighted by the edge stop: sum of g, delta and slope."""
    stop, size = fields
    total = 0.0
    for i in band:
        p = phi[i]
        if abs(p) < width:
            total += stop[i] * 0.5 / width * (1 + np.cos(np.pi * p / width)) * size[i]
    return total
