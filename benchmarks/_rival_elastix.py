"""elastix (itk-elastix): its default affine and B-spline parameter maps.

Runs in the rival's own environment: ``_rival_elastix.py FOLDER affine|bspline``. The field holds
the whole map, the affine too.
"""
# SPDX-License-Identifier: Apache-2.0

import itk
import numpy as np
import SimpleITK as sitk
from _register_worker import Stopwatch, arguments, finish, read


def as_itk(image):
    """Give the same image to ITK."""
    n = image.GetDimension()
    found = itk.image_from_array(sitk.GetArrayFromImage(image).astype("float32"))
    found.SetOrigin(image.GetOrigin())
    found.SetSpacing(image.GetSpacing())
    direction = np.array(image.GetDirection()).reshape(n, n)
    found.SetDirection(itk.matrix_from_array(direction))
    return found


def main():
    folder, (task,) = arguments()
    itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(1)
    fixed, moving = read(folder, "fixed"), read(folder, "moving")
    one, two = as_itk(fixed), as_itk(moving)
    maps = itk.ParameterObject.New()
    for name in ("rigid", "affine") if task == "affine" else ("affine", "bspline"):
        maps.AddParameterMap(maps.GetDefaultParameterMap(name))
    maps.SetParameter("RandomSeed", "1")
    watch = Stopwatch()

    def search():
        return itk.elastix_registration_method(one, two, parameter_object=maps)

    _, found = watch(task, search)
    shifts = itk.transformix_deformation_field(two, found)
    field = sitk.GetImageFromArray(itk.array_from_image(shifts).astype("float64"), isVector=True)
    field.CopyInformation(fixed)
    finish(folder, watch.seconds, field=field)


main()
