"""Files in and out: the only room that knows DICOM, NIfTI, NRRD, MetaImage and PNG.

Floor 4. Every convention of a file format is converted here, once, by name.
"""
# SPDX-License-Identifier: Apache-2.0
