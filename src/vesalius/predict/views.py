"""Views of cases: axes to look at, how far to believe them, groups, and whether near means near."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.predict._concentration import Concentration, concentration
from vesalius.predict._embed_clusters import Grouping, group_cases
from vesalius.predict._embed_methods import ViewMethod, ViewSettings
from vesalius.predict._embed_quality import Faithfulness, faithfulness
from vesalius.predict._views import View, comparable, embed

__all__ = [
    "Concentration",
    "Faithfulness",
    "Grouping",
    "View",
    "ViewMethod",
    "ViewSettings",
    "comparable",
    "concentration",
    "embed",
    "faithfulness",
    "group_cases",
]
