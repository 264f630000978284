"""MR physics: centred Fourier transforms, sampling, coils, non-uniform FFT.

Part of the room ``physics``.
"""
# SPDX-License-Identifier: Apache-2.0
