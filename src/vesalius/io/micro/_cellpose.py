"""Cellpose: its masks are label images; its session files are pickles and are refused."""
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path

from vesalius.errors import FormatError

SESSION = "_seg.npy"
MASKS = "_cp_masks"


def refuse_session(path: Path) -> None:
    """Refuse a session file of Cellpose: it holds pickled objects, which can run any program.

    Args:
        path: Any file.

    Raises:
        FormatError: Its name ends in ``_seg.npy``.
    """
    if path.name.lower().endswith(SESSION):
        raise FormatError(
            f"{path.name!r} must hold samples only, it is a session of Cellpose, whose pickled "
            "objects can run any program: in Cellpose choose 'Save masks as PNG/tif', or call "
            f"cellpose.io.save_masks, and open the file ending in {MASKS}.png or .tif"
        )


def cell_names(path: Path, values: tuple[tuple[int, int], ...]) -> dict[tuple[int, int], str]:
    """Name the regions of a file of masks of Cellpose ``cell n``.

    Args:
        path: The file.
        values: Its (layer, value) pairs.

    Returns:
        Names by (layer, value); empty where the name of the file does not end in ``_cp_masks``.
    """
    if not path.name.lower().split(".")[0].endswith(MASKS):
        return {}
    return {(layer, value): f"cell {value}" for layer, value in values}
