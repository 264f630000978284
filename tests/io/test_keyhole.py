"""Key-holes: joined holes enclose what they enclosed before."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vesalius.io._keyhole import keyholes
from vesalius.ops._polygon import fill_polygons
from vesalius.ops._trace import trace_edges

masks = arrays(np.bool_, st.tuples(st.integers(1, 10), st.integers(1, 10)))


def loops_of(mask: torch.Tensor) -> list[np.ndarray]:
    points, starts = trace_edges(mask)
    return np.split(points.numpy(), starts.tolist()[1:]) if len(points) else []


def filled(loops: list[np.ndarray], shape: tuple[int, ...]) -> torch.Tensor:
    starts = torch.tensor(np.cumsum([0, *map(len, loops)])[:-1], dtype=torch.int64)
    points = torch.from_numpy(np.concatenate([np.empty((0, 2)), *loops]))
    return fill_polygons(points, starts, (shape[0], shape[1]))


@given(masks)
def test_joined_loops_fill_alike(data):
    mask = torch.from_numpy(data)
    assert torch.equal(filled(keyholes(loops_of(mask)), mask.shape), mask)


@given(masks)
def test_there_are_as_many_loops_as_outer_boundaries(data):
    from scipy.ndimage import label

    joined = keyholes(loops_of(torch.from_numpy(data)))
    assert len(joined) == label(data)[1]


@given(masks)
def test_each_joined_loop_alone_is_one_body(data):
    from scipy.ndimage import label

    for loop in keyholes(loops_of(torch.from_numpy(data))):
        body = filled([loop], data.shape).numpy()
        assert label(body)[1] == 1


def test_the_gate_is_walked_there_and_back():
    mask = torch.ones((5, 7), dtype=torch.bool)
    mask[2, 3] = False
    (loop,) = keyholes(loops_of(mask))
    walked = [tuple(p) for p in loop]
    gate, hole = (1.5, -0.5), (1.5, 2.5)
    assert walked.count(gate) == 2
    assert walked.count(hole) == 2
    assert len(walked) == 4 + 4 + 1 + 2


def test_nothing_has_nothing_to_join():
    assert keyholes([]) == []
