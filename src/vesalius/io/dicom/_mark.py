"""Marks: short hashes of UIDs, to compare by where the UID itself must not be shown."""
# SPDX-License-Identifier: Apache-2.0

import hashlib


def mark(uid: str) -> str:
    """Give the mark of a UID: equal UIDs have equal marks, and no UID can be read from one.

    Args:
        uid: Any text; empty has an empty mark.

    Returns:
        12 hexadecimal digits.
    """
    return hashlib.sha256(uid.encode()).hexdigest()[:12] if uid else ""
