"""Forward models: phantoms with exact truth; later projectors, noise models, coils, PSFs.

Floor 3. Works today: ellipsoid phantoms, among them a chest with nodules.
"""
# SPDX-License-Identifier: Apache-2.0
