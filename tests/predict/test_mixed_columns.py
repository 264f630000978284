"""A feature that one cell has made a text is not left out in silence."""

import pandas as pd
import pytest

from vesalius.errors import ConfigError
from vesalius.predict import Description, as_table


def frame(cells: list[object]) -> pd.DataFrame:
    return pd.DataFrame({"other": [1.0, 2.0, 3.0, 4.0], "energy": cells})


def test_refuses_a_text_among_numbers_and_says_where():
    with pytest.raises(ConfigError, match=r"'energy' holds 'see note' \(row 3\) among 3 numbers"):
        as_table(frame(["1.5", "2.5", "see note", "1e-3"]))


def test_takes_a_column_of_texts_for_no_feature():
    assert as_table(frame(["CT", "MR", "1.5", ""])).features == ("other",)


def test_takes_names_that_are_mostly_digits_for_no_feature():
    assert as_table(frame(["101", "102", "103b", "104"])).features == ("other",)


@pytest.mark.parametrize("manner", [{"leave_out": ("energy",)}, {"features": ("other",)}])
def test_lets_the_column_be_left_out(manner):
    assert as_table(frame(["1.5", "2.5", "high", "3.5"]), **manner).features == ("other",)


def test_minds_no_text_in_a_column_with_a_role():
    described = Description(exposure="energy")
    assert as_table(frame(["1.5", "2.5", "high", "3.5"]), described).features == ("other",)
