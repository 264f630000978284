"""Extractor: the call that PyRadiomics scripts make, answered by vesalius."""
# SPDX-License-Identifier: Apache-2.0

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

from vesalius._version import __version__
from vesalius.core import Image, Labels
from vesalius.errors import ConfigError
from vesalius.measure._measurement import check_pair
from vesalius.measure.compat._settings import CLASSES, Parameters, read_parameters, read_settings
from vesalius.measure.compat._values import pyradiomics_values


class RadiomicsFeatureExtractor:
    """Stand in for ``radiomics.featureextractor.RadiomicsFeatureExtractor``.

    Camel-case names are PyRadiomics'. Values follow its definitions (version 3.0.1) to 1e-6, the
    mesh features to 1e-3; the concept page "Moving over from PyRadiomics" lists every deviation.

    Args:
        source: A parameter file (path) or mapping; empty takes PyRadiomics' defaults.
        settings: Single settings that win over the file, such as ``binWidth=10``.

    Raises:
        ConfigError: A key is unknown or not carried over.
    """

    def __init__(self, source: str | Path | Mapping[str, object] = "", **settings: object) -> None:
        given: Path | Mapping[str, object] = {}
        if isinstance(source, Mapping):
            given = source
        elif str(source):
            given = Path(source)
        parameters = read_parameters(given)
        merged = {**parameters.settings.model_dump(exclude_unset=True), **settings}
        self._settings = read_settings(merged)
        self._features = dict(parameters.features)

    @property
    def settings(self) -> dict[str, object]:
        """The settings in force, by PyRadiomics' names."""
        return self._settings.model_dump()

    def enableAllFeatures(self) -> None:  # noqa: N802
        """Ask for all features of all classes."""
        self._features = dict.fromkeys(CLASSES, ())

    def disableAllFeatures(self) -> None:  # noqa: N802
        """Ask for nothing."""
        self._features = {}

    def enableFeatureClassByName(self, featureClass: str, enabled: bool = True) -> None:  # noqa: N802
        """Ask for all features of a class, or for none of it.

        Raises:
            ConfigError: There is no such class.
        """
        if featureClass not in CLASSES:
            raise ConfigError(
                f"featureClass must be one of {', '.join(CLASSES)}, got '{featureClass}'"
            )
        self._features.pop(featureClass, None)
        if enabled:
            self._features[featureClass] = ()

    def enableFeaturesByName(self, **features: list[str]) -> None:  # noqa: N802
        """Ask for single features, such as ``glcm=["Contrast"]``.

        Raises:
            ConfigError: There is no such class or feature.
        """
        self._features |= read_parameters({"featureClass": features}).features

    def execute(
        self, imageFilepath: object, maskFilepath: object, label: int = 0
    ) -> "OrderedDict[str, object]":
        """Measure one region.

        Args:
            imageFilepath: A path, a SimpleITK image, or an ``Image``.
            maskFilepath: A path, a SimpleITK image, or ``Labels``.
            label: The region; 0 takes the setting ``label``.

        Returns:
            ``diagnostics_*`` entries, then ``original_<class>_<Feature>`` -> float.

        Raises:
            GeometryError: Image and mask are on different grids.
            RegionError: The label does not occur, or the region is too small.
        """
        image, labels = _as_image(imageFilepath), _as_labels(maskFilepath)
        check_pair(image, labels)
        mask = labels.mask(label or self._settings.label)
        parameters = Parameters(settings=self._settings, features=self._features)
        values = pyradiomics_values(image, mask, parameters)
        result: OrderedDict[str, object] = OrderedDict()
        result["diagnostics_Versions_vesalius"] = __version__
        result["diagnostics_Configuration_Settings"] = self._settings.model_dump()
        result["diagnostics_Mask-original_VoxelNum"] = int(mask.sum())
        for name, value in values.items():
            result[f"original_{name}"] = value
        return result


def _as_image(source: object) -> Image:
    from vesalius import io

    if isinstance(source, Image):
        return source
    if isinstance(source, str | Path):
        return io.open(Path(source)).read()
    return io.from_simpleitk(source)


def _as_labels(source: object) -> Labels:
    from vesalius import io

    if isinstance(source, Labels):
        return source
    if isinstance(source, str | Path):
        return io.open_labels(Path(source))
    image = io.from_simpleitk(source)
    return Labels(image.data.round().int(), image.grid)
