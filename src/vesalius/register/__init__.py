"""Two images into one space: rigid to diffeomorphic registration will live here.

Floor 5. Empty today.
"""
# SPDX-License-Identifier: Apache-2.0
