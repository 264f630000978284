"""Image to image: filters of the IBSI-2 standard; later denoising, deblurring, bias correction.

Floor 5.
"""
# SPDX-License-Identifier: Apache-2.0
