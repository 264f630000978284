"""From raw measurements to images: FBP, FDK, iterative and learned methods will live here.

Floor 5. Empty today.
"""
# SPDX-License-Identifier: Apache-2.0
