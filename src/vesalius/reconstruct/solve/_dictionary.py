"""Dictionary: a prior that says every patch is a sum of few atoms, learned from images."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from vesalius.errors import ConfigError, ShapeError
from vesalius.reconstruct.solve._prox import Prox

CHUNK = 4096  # patches coded at a time: bounds the memory whatever the image
FORGET = 8.0  # early codes are bad: with 1, planted atoms stay half found


@final
@dataclass(frozen=True, slots=True, eq=False)
class Dictionary(Prox):
    """Every patch is its mean plus few atoms: R(x) = 1 / (2 n) sum_p |P_p x - mean - D a_p|^2.

    P_p takes patch p of n samples out of x; a_p comes from orthogonal matching pursuit. R is the
    squared distance to a union of subspaces, so it is not convex. In the limit of an infinite
    step the proximal map is the usual denoiser: coded patches, averaged where they overlap.

    Attributes:
        atoms: (k, *patch), each of norm 1 and mean 0; the patch axes (1 to 3) meet the last axes
            of x.
        sparsity: Most atoms in a patch.
        noise: Root mean square, in the unit of x, down to which a patch is explained: pursuit
            ends there. 0 uses ``sparsity`` atoms everywhere.
        stride: Samples between patches; the last patch ends at the border, so all are covered.
        rounds: Times that codes and image are found in turn.

    Raises:
        ConfigError: The atoms are not of norm 1 and mean 0, or an option is out of range.
        ShapeError: ``atoms`` has no patch axes, or more than 3.

    References:
        Elad, Aharon (2006), doi:10.1109/TIP.2006.881969, eqs (4), (7), (8); pursuit: Pati,
        Rezaiifar, Krishnaprasad (1993), doi:10.1109/ACSSC.1993.342465. Differs in: the mean of a
        patch is free.
    """

    atoms: Tensor
    sparsity: int = 4
    noise: float = 0.0
    stride: int = 1
    rounds: int = 1

    def __post_init__(self) -> None:
        if not 2 <= self.atoms.ndim <= 4 or self.atoms.numel() == 0:
            raise ShapeError(
                f"atoms must be (k, *patch) with 1 to 3 patch axes, got {tuple(self.atoms.shape)}"
            )
        flat = self.atoms.flatten(1).double()
        off = max(float((flat.norm(dim=1) - 1).abs().max()), float(flat.sum(dim=1).abs().max()))
        if not off <= 1e-3:
            raise ConfigError(
                f"atoms must have norm 1 and mean 0, got one off by {off:.3g}: subtract the mean, "
                "then divide by the norm"
            )
        _check_counts(self.sparsity, len(flat))
        if not (0.0 <= self.noise < math.inf and self.rounds >= 1):
            raise ConfigError(
                f"noise must be finite and at least 0 and rounds at least 1, got {self.noise:g} "
                f"and {self.rounds}"
            )
        if not 1 <= self.stride <= min(self.patch):
            raise ConfigError(
                f"stride must be at least 1 and at most the patch {self.patch}, got "
                f"{self.stride}: samples between patches would belong to none"
            )

    @property
    def patch(self) -> tuple[int, ...]:
        """Shape of an atom."""
        return tuple(self.atoms.shape[1:])

    @staticmethod
    def learn(
        images: Tensor,
        *,
        patch: tuple[int, ...],
        atoms: int,
        sparsity: int = 4,
        steps: int = 200,
        generator: torch.Generator,
    ) -> "Dictionary":
        """Learn atoms online: code some patches, then turn each atom towards what it explains.

        Args:
            images: (*batch, *shape), real; patches are drawn from all.
            patch: Shape of an atom, along the last axes.
            atoms: How many; twice the samples of a patch is usual.
            sparsity: Atoms in a patch.
            steps: Batches of 256 patches seen.
            generator: Draws patches.

        Returns:
            The dictionary, with no noise level: ``dataclasses.replace`` sets one.

        Raises:
            ConfigError: ``sparsity``, ``atoms`` or ``steps`` is out of range, or all patches are
                flat.
            ShapeError: The patch does not fit into the images.

        References:
            Mairal, Bach, Ponce, Sapiro (2010), J. Mach. Learn. Res. 11, 19-60, algorithms 1 and
            2, past forgotten as in section 3.4.2 (rho = 8). Differs in: codes by matching
            pursuit instead of the lasso, atoms of norm 1, unused atoms drawn again.
        """
        _check_counts(sparsity, atoms)
        if steps < 1:
            raise ConfigError(f"steps must be at least 1, got {steps}")
        draw = _Sampler(images, patch, generator)
        d = draw(atoms)
        d = d / d.norm(dim=1, keepdim=True)
        seen = torch.zeros(atoms, atoms, dtype=d.dtype, device=d.device)
        heard = torch.zeros_like(d)
        for step in range(steps):
            x = draw(256)
            a = _pursue(x, d, sparsity, 0.0)
            kept = (step / (step + 1.0)) ** FORGET
            seen, heard = kept * seen + a.T @ a, kept * heard + a.T @ x
            d = _turn(d, seen, heard, draw)
        return Dictionary(d.reshape(atoms, *patch), sparsity)

    def value(self, x: Tensor) -> float:
        """Give R(x), with the codes that pursuit finds."""
        return self._code(x)[2]

    def __call__(self, x: Tensor, step: float) -> Tensor:
        """Code the patches, then solve for z: exact in z, greedy in the codes."""
        z = x
        for _ in range(self.rounds if step > 0.0 else 0):
            explained, count, _ = self._code(z)
            z = (x + step * explained) / (1.0 + step * count)
        return z

    def _code(self, x: Tensor) -> tuple[Tensor, Tensor, float]:
        """Coded patches added up, and how often each sample is in one, both over n; and R."""
        size, axes = math.prod(self.patch), len(self.patch)
        starts, offsets = _lattice(tuple(x.shape[x.ndim - axes :]), self.patch, self.stride)
        starts, offsets = starts.to(x.device), offsets.to(x.device)
        d = self.atoms.flatten(1).to(x)
        flat = x.reshape(-1, math.prod(x.shape[x.ndim - axes :]))
        total, count, left = torch.zeros_like(flat), torch.zeros_like(flat[0].abs()), 0.0
        for some in torch.split(starts, CHUNK):
            where = some[:, None] + offsets
            count += torch.bincount(where.flatten(), minlength=len(count))
            for image, sums in zip(flat, total, strict=True):
                patches = image[where]
                mean = patches.mean(dim=1, keepdim=True)
                coded = mean + _pursue(patches - mean, d, self.sparsity, self.noise) @ d
                sums.index_add_(0, where.flatten(), coded.flatten())
                left += float((patches - coded).abs().square().sum(dtype=torch.float64))
        covered = (count / size).reshape(x.shape[x.ndim - axes :])
        return total.reshape(x.shape) / size, covered, left / (2 * size)


@final
@dataclass(slots=True)
class _Sampler:
    """Draw patches without their means, none of them flat."""

    images: Tensor
    patch: tuple[int, ...]
    generator: torch.Generator

    def __call__(self, many: int) -> Tensor:
        axes = len(self.patch)
        shape = tuple(self.images.shape[self.images.ndim - axes :])
        starts, offsets = _lattice(shape, self.patch, 1)
        flat = self.images.reshape(-1, math.prod(shape))
        found: list[Tensor] = []
        for _ in range(20):
            which = torch.randint(len(flat), (many, 1), generator=self.generator)
            where = torch.randint(len(starts), (many,), generator=self.generator)
            x = flat[which, starts[where][:, None] + offsets]
            mean = x.mean(dim=1, keepdim=True)
            x = x - mean
            # rounding is not structure
            found.append(x[x.norm(dim=1) > 1e-5 * (1e-30 + mean[:, 0].abs())])
            if sum(map(len, found)) >= many:
                return torch.cat(found)[:many]
        raise ConfigError(
            f"images must have structure to learn from, got flat patches of {self.patch} almost "
            "everywhere: crop them"
        )


def _turn(d: Tensor, seen: Tensor, heard: Tensor, draw: _Sampler) -> Tensor:
    """One pass of block coordinate descent over the atoms (algorithm 2)."""
    d = d.clone()
    for j in range(len(d)):
        if float(seen[j, j]) <= 1e-10 * float(seen.diagonal().max()):
            fresh = draw(1)[0]
        else:
            fresh = (heard[j] - seen[j] @ d) / seen[j, j] + d[j]
        fresh = fresh - fresh.mean()
        size = float(fresh.norm())
        d[j] = fresh / size if size > 0 else d[j]
    return d


def _pursue(x: Tensor, d: Tensor, sparsity: int, noise: float) -> Tensor:
    """Orthogonal matching pursuit: codes (m, k) of patches (m, n) in atoms (k, n) of norm 1."""
    codes = torch.zeros(len(x), len(d), dtype=x.dtype, device=x.device)
    gram = d @ d.T
    tiny = torch.finfo(x.abs().dtype).eps
    enough = torch.clamp(tiny * x.norm(dim=1), min=noise * math.sqrt(x.shape[1]))
    rows = torch.nonzero(x.norm(dim=1) > enough)[:, 0]
    chosen = torch.zeros(len(rows), 0, dtype=torch.long, device=x.device)
    gap = x[rows]
    seen = x @ d.mH
    for _ in range(min(sparsity, len(d))):
        if len(rows) == 0:
            break
        match = (gap @ d.mH).abs().scatter(1, chosen, -1.0)
        chosen = torch.cat([chosen, match.argmax(dim=1, keepdim=True)], dim=1)
        small = gram[chosen[:, :, None], chosen[:, None, :]]
        eye = torch.eye(chosen.shape[1], dtype=x.dtype, device=x.device)
        right = seen[rows].gather(1, chosen)[..., None]
        a = torch.linalg.solve(small + 10 * tiny * eye, right)[..., 0]
        codes[rows] = torch.zeros_like(codes[rows]).scatter(1, chosen, a)
        gap = x[rows] - codes[rows] @ d
        going = gap.norm(dim=1) > enough[rows]
        rows, chosen, gap = rows[going], chosen[going], gap[going]
    return codes


def _lattice(shape: tuple[int, ...], patch: tuple[int, ...], stride: int) -> tuple[Tensor, Tensor]:
    """Flat index of the first sample of every patch, and those of a patch from its first."""
    if len(shape) != len(patch) or any(n < p for n, p in zip(shape, patch, strict=True)):
        raise ShapeError(
            f"a patch {patch} must fit into the last axes of the image, got {shape}: take smaller "
            "atoms"
        )
    starts = offsets = torch.zeros(1, dtype=torch.long)
    for n, p in zip(shape, patch, strict=True):
        along = torch.tensor(sorted({*range(0, n - p + 1, stride), n - p}))
        starts = (starts[:, None] * n + along).flatten()
        offsets = (offsets[:, None] * n + torch.arange(p)).flatten()
    return starts, offsets


def _check_counts(sparsity: int, atoms: int) -> None:
    if not 1 <= sparsity <= atoms:
        raise ConfigError(
            f"sparsity must be at least 1 and at most the number of atoms, got {sparsity} of "
            f"{atoms}"
        )
