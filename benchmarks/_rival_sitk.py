"""SimpleITK: rigid then affine by mutual information, then symmetric-forces demons.

Runs here, in a process of its own: ``_rival_sitk.py FOLDER affine|demons``. The linear stages are
those of its documentation: 50 bins, three scales, regular-step descent; the demons run over three
scales on histogram-matched images.
"""
# SPDX-License-Identifier: Apache-2.0

import SimpleITK as sitk
from _register_worker import Stopwatch, arguments, as_matrix, finish, read


def linear(fixed, moving, start):
    """Search the parameters of ``start``."""
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(50)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(0.05, 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, 200, 0.5, 1e-6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([2, 1, 0])
    method.SetSmoothingSigmasAreSpecifiedInPhysicalUnits(False)
    method.SetInitialTransform(start, inPlace=True)
    method.Execute(fixed, moving)
    return start


def demons(fixed, moving, affine):
    """Run the demons over three scales, each from the field of the coarser one."""
    seen = sitk.Resample(moving, fixed, affine, sitk.sitkLinear, 0.0)
    seen = sitk.HistogramMatching(seen, fixed, 1024, 7, True)
    field = None
    for factor, steps in ((4, 100), (2, 50), (1, 25)):
        one, two = (_coarse(image, factor) for image in (fixed, seen))
        search = sitk.FastSymmetricForcesDemonsRegistrationFilter()
        search.SetNumberOfIterations(steps)
        search.SetSmoothDisplacementField(True)
        search.SetStandardDeviations(1.5)
        start = [] if field is None else [sitk.Resample(field, one)]
        field = search.Execute(one, two, *start)
    return field


def _coarse(image, factor):
    if factor == 1:
        return image
    smooth = sitk.SmoothingRecursiveGaussian(image, [0.5 * factor * s for s in image.GetSpacing()])
    return sitk.Shrink(smooth, [factor] * image.GetDimension())


def main():
    folder, (task,) = arguments()
    fixed = sitk.Cast(read(folder, "fixed"), sitk.sitkFloat32)
    moving = sitk.Cast(read(folder, "moving"), sitk.sitkFloat32)
    n = fixed.GetDimension()
    watch = Stopwatch()
    rigid = sitk.Euler3DTransform() if n == 3 else sitk.Euler2DTransform()
    rigid = sitk.CenteredTransformInitializer(
        fixed, moving, rigid, sitk.CenteredTransformInitializerFilter.MOMENTS
    )
    rigid = watch("rigid", lambda: linear(fixed, moving, type(rigid)(rigid)))
    affine = sitk.AffineTransform(n)
    affine.SetMatrix(rigid.GetMatrix())
    affine.SetTranslation(rigid.GetTranslation())
    affine.SetCenter(rigid.GetCenter())
    affine = watch("affine", lambda: linear(fixed, moving, affine))
    matrix = as_matrix(affine, n)
    if task == "affine":
        finish(folder, watch.seconds, affine=matrix)
    field = watch("deformable", lambda: demons(fixed, moving, affine))
    finish(folder, watch.seconds, affine=matrix, field=field)


main()
