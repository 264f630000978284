"""Reasons: what another library said of a damaged file, without the values that it quotes."""
# SPDX-License-Identifier: Apache-2.0

import re
from pathlib import Path

_QUOTED = re.compile(r"b?\x22[^\x22]*\x22|b?'[^']*'")
LONGEST = 200


def reason_of(error: Exception, path: Path) -> str:
    """Give the first line of an error, fit to be shown.

    Libraries quote the value that they stumble over, and that may be a name.

    Args:
        error: What was raised.
        path: The file; its folders are not shown.

    Returns:
        The line with each quoted part replaced, or the kind of the error where it says nothing.
    """
    lines = str(error).replace(str(path), path.name).splitlines()
    return _QUOTED.sub("(a value)", lines[0])[:LONGEST] if lines else type(error).__name__
