"""Sizes at which a fast Fourier transform is fast."""
# SPDX-License-Identifier: Apache-2.0


def fast_size(least: int) -> int:
    """Give the next size that has no prime factor above 5.

    Args:
        least: Smallest size that will do, at least 1.

    Returns:
        ``least`` or the next such number above it.

    Example:
        >>> fast_size(17), fast_size(101), fast_size(512)
        (18, 108, 512)
    """
    best = 1 << max(least - 1, 0).bit_length()
    five = 1
    while five < best:
        three = five
        while three < best:
            rest = -(-least // three)
            best = min(best, three << max(rest - 1, 0).bit_length())
            three *= 3
        five *= 5
    return best
