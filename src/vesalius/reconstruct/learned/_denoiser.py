"""Denoiser: a small U-Net that is told the noise level, for plug-and-play reconstruction."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vesalius.core import Step
from vesalius.errors import ConfigError, IntensityError, ShapeError, UnitError
from vesalius.io._weights import ModelCard, Weights, check_shapes, load_weights, save_weights
from vesalius.learn import Schedule, UNet, UNetPlan, train

PACKAGED = Path(__file__).parent / "weights" / "denoiser.safetensors"
_PIXELS = 1 << 21
"""Most samples that go through the network at once: bounds the memory."""
_MOST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class DenoiserPlan:
    """What decides a denoiser.

    Attributes:
        width: Channels of the finest level.
        levels: Number of resolutions.
        least: Smallest noise level met in training, in units of the images' range.
        most: Largest one; levels between are drawn evenly in their logarithm.
        patch: Side of the training patches, samples.
        batch: Patches in one step.

    Raises:
        ConfigError: A number is out of range.
    """

    width: int = 16
    levels: int = 3
    least: float = 0.01
    most: float = 0.3
    patch: int = 64
    batch: int = 8

    def __post_init__(self) -> None:
        if not 0.0 < self.least < self.most < math.inf:
            raise ConfigError(
                f"noise levels must be 0 < least < most, got {self.least:g} and {self.most:g}"
            )
        if min(self.patch, self.batch) < 1:
            raise ConfigError(
                f"patch and batch must be at least 1, got {self.patch} and {self.batch}"
            )

    @property
    def network(self) -> UNetPlan:
        """Layers: image and noise level in, image out; no norm and no constants anywhere."""
        return UNetPlan(
            2,
            inputs=2,
            width=self.width,
            levels=self.levels,
            norm="none",
            residual=True,
            bias=False,
        )


SCHEDULE = Schedule(5800, learning_rate=2e-3, warm_up=50, weight_decay=0.0, average=0.99)
"""Under five CPU minutes of training with the default plan."""


@final
class Denoiser:
    """Take white Gaussian noise of known level out of 2-D images.

    The network has no constants and no normalisation, and the mean is taken off first, so that
    ``denoise(a x + b, sigma=a s) == a denoise(x, sigma=s) + b`` for a > 0: any unit and range will
    do. Fitted attributes: ``network_``, ``losses_`` (per step), ``card_`` (loaded ones only).

    Args:
        plan: Size of the network and noise levels.
        schedule: How long to train.

    Example:
        >>> denoiser = Denoiser.pretrained()
        >>> noisy = torch.randn(32, 32, generator=torch.Generator().manual_seed(0))
        >>> float(denoiser.denoise(noisy, sigma=1.0).std()) < 0.5
        True

    References:
        Zhang, Zuo, Zhang (2018), doi:10.1109/TIP.2018.2839891, the noise level as an input;
        Mohan et al. (2020), arXiv:1906.05478, no constants. Differs in: a U-Net, small.
    """

    network_: UNet
    losses_: tuple[float, ...]
    card_: ModelCard

    def __init__(
        self,
        plan: DenoiserPlan = DenoiserPlan(),
        *,
        schedule: Schedule = SCHEDULE,
    ) -> None:
        self.plan = plan
        self.schedule = schedule

    def fit(
        self,
        images: Float[Tensor, "image y x"],
        *,
        generator: torch.Generator,
        on_step: Callable[[Step], None] | None = None,
    ) -> "Denoiser":
        """Learn from clean images: random patches, turned, mirrored, and noise put on.

        Args:
            images: (image, y, x) float32, no noise, range about 1; at least ``plan.patch`` wide.
            generator: Source of first weights, patches and noise.
            on_step: Told of each step.

        Returns:
            This object, fitted.

        Raises:
            ShapeError: There is no image, or they are smaller than a patch.
            IntensityError: An image has NaN or infinity.
        """
        side = self.plan.patch
        if images.shape[0] < 1 or min(images.shape[1:]) < side:
            raise ShapeError(
                f"images must have shape (image, y, x), each at least {side} x {side} to cut "
                f"patches from, got {tuple(images.shape)}"
            )
        if not bool(torch.isfinite(images).all()):
            raise IntensityError("training images must be finite, got NaN or infinity")
        network = UNet(self.plan.network, generator=generator)
        # twice as fast on a CPU
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        batches = _batches(images.float(), self.plan, generator)
        done = train(network, batches, _loss, schedule=self.schedule, on_step=on_step)
        self.network_ = network
        self.losses_ = done.loss
        return self

    def denoise(self, x: Tensor, *, sigma: float) -> Tensor:
        """Take the noise out.

        Args:
            x: (*batch, y, x), floating point, any range and unit; each image by itself.
            sigma: Standard deviation of the noise, unit of x; 0 gives x back.

        Returns:
            Same shape, dtype, device and unit. The network itself works in float32.

        Raises:
            ConfigError: Not fitted yet, or ``sigma`` is negative or not finite.
            ShapeError: ``x`` has fewer than two axes.
            UnitError: ``x`` is not floating point.
            IntensityError: ``x`` has NaN or infinity.
        """
        network = self._fitted()
        if not 0.0 <= sigma < math.inf:
            raise ConfigError(f"sigma must be finite and not negative, got {sigma:g}")
        _check(x)
        if sigma == 0.0 or x.numel() == 0:
            return x.clone()
        flat = x.reshape(-1, 1, *x.shape[-2:])
        mean = flat.mean(dim=(-2, -1), keepdim=True)
        scaled = ((flat - mean) / sigma).float()
        few = max(1, _PIXELS // (x.shape[-1] * x.shape[-2]))
        network = network.to(x.device)
        chunks = torch.split(scaled, few)
        parts = [network(torch.cat([p, torch.ones_like(p)], dim=1)) for p in chunks]
        return (torch.cat(parts).to(x.dtype) * sigma + mean).reshape(x.shape)

    def at(self, sigma: float) -> Callable[[Tensor], Tensor]:
        """Fix the noise level: what ``plug_and_play`` and ``red`` take.

        Args:
            sigma: Standard deviation, unit of the image.

        Returns:
            A map of (*batch, y, x) to the same.
        """
        return partial(self.denoise, sigma=sigma)

    def save(self, path: str | Path, card: ModelCard) -> None:
        """Write weights and model card; the card's plan is replaced by this one's.

        Args:
            path: Ending in ``.safetensors``.
            card: What a user must know.

        Raises:
            ConfigError: Not fitted yet, or the path ends otherwise.
            OutputError: The folder is not writable.
        """
        words = {**{k: getattr(card, k) for k in card.__slots__}, "plan": asdict(self.plan)}
        save_weights(path, self._fitted().state_dict(), ModelCard(**words))

    @classmethod
    def load(cls, path: str | Path) -> "Denoiser":
        """Read a denoiser that was saved.

        Args:
            path: Ending in ``.safetensors``; the card lies beside it.

        Returns:
            A fitted denoiser with its card as ``card_``.

        Raises:
            FormatError: A file is absent, damaged, or does not fit its plan.
            ConfigError: The plan has unknown or impossible values.
        """
        found = load_weights(path, most_bytes=_MOST_BYTES)
        return _restored(cls(_plan(found)), found)

    @classmethod
    def pretrained(cls) -> "Denoiser":
        """Load the packaged weights, learned from generated images alone; see ``card_``."""
        return cls.load(PACKAGED)

    def _fitted(self) -> UNet:
        network: UNet | None = getattr(self, "network_", None)
        if network is None:
            raise ConfigError(
                "a denoiser must be fitted before use: call fit, or take Denoiser.pretrained()"
            )
        return network


def _restored(denoiser: Denoiser, found: Weights) -> Denoiser:
    network = UNet(denoiser.plan.network, generator=torch.Generator().manual_seed(0))
    check_shapes(found.tensors, network.state_dict())
    network.load_state_dict(dict(found.tensors))
    denoiser.network_ = network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    denoiser.card_ = found.card
    return denoiser


def _plan(found: Weights) -> DenoiserPlan:
    values = dict(found.card.plan)
    own = asdict(DenoiserPlan())
    if {k: type(v) for k, v in values.items()} != {k: type(v) for k, v in own.items()}:
        raise ConfigError(f"the card's plan must hold the fields of DenoiserPlan, got {values}")
    return DenoiserPlan(**values)


def _check(x: Tensor) -> None:
    if x.ndim < 2:
        raise ShapeError(f"image must have shape (*batch, y, x), got {tuple(x.shape)}")
    if not x.is_floating_point():
        raise UnitError(f"image must be floating point, got {x.dtype}: cast it with .float()")
    if not bool(torch.isfinite(x).all()):
        raise IntensityError("image must be finite, got NaN or infinity: mend it first")


def _batches(
    images: Tensor, plan: DenoiserPlan, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Noisy patch, clean patch and noise level, without end."""
    side, count = plan.patch, plan.batch
    low, high = math.log(plan.least), math.log(plan.most)
    while True:
        which = torch.randint(images.shape[0], (count,), generator=generator).tolist()
        top = torch.randint(images.shape[1] - side + 1, (count,), generator=generator).tolist()
        left = torch.randint(images.shape[2] - side + 1, (count,), generator=generator).tolist()
        cut = [
            images[i, t : t + side, s : s + side] for i, t, s in zip(which, top, left, strict=True)
        ]
        turn = int(torch.randint(8, (1,), generator=generator))
        clean = torch.rot90(torch.stack(cut), turn % 4, (1, 2))
        clean = (clean.flip(-1) if turn >= 4 else clean)[:, None]
        level = low + (high - low) * torch.rand(count, 1, 1, 1, generator=generator)
        sigma = level.exp()
        noise = torch.randn(clean.shape, generator=generator)
        yield clean + sigma * noise, clean, sigma


def _loss(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    """Square error over the noise level: neither the weakest nor the strongest noise rules."""
    noisy, clean, sigma = batch
    mean = noisy.mean(dim=(-2, -1), keepdim=True)
    pair = torch.cat([noisy - mean, sigma.expand_as(noisy)], dim=1)
    pair = pair.contiguous(memory_format=torch.channels_last)
    value: Tensor = ((model(pair) + mean - clean).square() / sigma).mean()
    return value
