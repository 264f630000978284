"""Sharing a loop: every item once, errors seen, as many threads as torch."""

import pytest
import torch

from vesalius.ops._threads import share


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("total", "least"), [(0, 1), (1, 1), (7, 1), (100, 1), (100, 60)])
def test_every_item_is_done_once(threads, total, least):
    before, blocks = torch.get_num_threads(), []
    try:
        torch.set_num_threads(threads)
        share(lambda a, b: blocks.append((a, b)), total, least=least)
    finally:
        torch.set_num_threads(before)
    assert sorted(i for a, b in blocks for i in range(a, b)) == list(range(total))
    assert len(blocks) == max(1, min(threads, total // least))


def test_an_error_in_any_block_is_raised():
    def fail(start, stop):
        if stop == 10:
            raise ZeroDivisionError("the last block")

    with pytest.raises(ZeroDivisionError, match="the last block"):
        share(fail, 10)
