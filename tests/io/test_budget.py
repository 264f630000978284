"""Budget: what a header claims is checked before anything is allocated."""

import pytest

from vesalius.errors import FormatError
from vesalius.io import Budget


def test_checks_what_a_header_claims() -> None:
    assert Budget(bytes=100).check_size("a", (2, 3), 4) == 24
    with pytest.raises(FormatError, match="must have positive sizes"):
        Budget().check_size("a", (2, 0), 4)
    with pytest.raises(FormatError, match=r"'a' must fit in .* GiB .* its header claims 20 x 30"):
        Budget(bytes=100).check_size("a", (20, 30), 4)
    with pytest.raises(FormatError, match="its header claims 20 x 30"):
        Budget(voxels=100).check_size("a", (20, 30), 1)


def test_checks_what_is_stored() -> None:
    Budget().check_stored("a", 1032, 1, deflated=True)
    with pytest.raises(FormatError, match="must hold 1033 bytes of samples, it has 1 compressed"):
        Budget().check_stored("a", 1033, 1, deflated=True)
    with pytest.raises(FormatError, match="must hold 1033 bytes of samples, it has 1 bytes"):
        Budget().check_stored("a", 1033, 1, deflated=False)


def test_checks_how_far_a_stream_grows() -> None:
    budget = Budget(free_bytes=1000)
    budget.check_growth("a", 1000, 1)
    budget.check_growth("a", 2000, 10)
    with pytest.raises(FormatError, match="'a' must not grow more than 200 times when it is unp"):
        budget.check_growth("a", 2001, 10)


def test_lets_a_huge_file_be_opened_where_all_of_it_is_there() -> None:
    budget = Budget(bytes=100)
    budget.check_claim("a", (20, 30), 1, 600)
    with pytest.raises(FormatError, match="its header claims 20 x 30"):
        budget.check_claim("a", (20, 30), 1, 599)
    with pytest.raises(FormatError, match="its header claims 20 x 30"):
        budget.check_claim("a", (20, 30), 1, 600, packed=True)
    with pytest.raises(FormatError, match="must hold 90 bytes of samples, it has 80 bytes"):
        budget.check_claim("a", (9, 10), 1, 80)
    with pytest.raises(FormatError, match="must have positive sizes"):
        budget.check_claim("a", (9, 0), 1, 80)
