"""Provenance: equal records have equal digests, whatever file the samples came from."""

import json

import pytest
import torch

from vesalius.core import Grid, Provenance, hash_json, hash_samples

AFFINE = Grid.from_spacing((2, 2, 2), (3.0, 1.0, 1.0)).affine


def test_the_order_of_keys_does_not_matter():
    assert hash_json({"a": 1, "b": [2, 3]}) == hash_json({"b": [2, 3], "a": 1})


def test_hashes_the_compact_sorted_text():
    # first 16 digits of the SHA-256 of {"a":1}, by sha256sum
    assert hash_json({"a": 1}) == "015abd7f5cc57a2d"


@pytest.mark.parametrize("other", [{"a": 2}, {"b": 1}, [1], "1", None])
def test_other_values_have_other_hashes(other):
    assert hash_json(other) != hash_json({"a": 1})


@pytest.mark.parametrize("dtype", [torch.int16, torch.int64, torch.float32, torch.float64])
def test_the_number_type_of_a_file_does_not_matter(dtype):
    data = torch.arange(8).reshape(1, 2, 2, 2)
    assert hash_samples(data.to(dtype), AFFINE) == hash_samples(data, AFFINE)


def test_layout_in_memory_and_signed_zero_do_not_matter():
    data = torch.rand(1, 4, 5, 6)
    turned = data.permute(0, 3, 2, 1).contiguous().permute(0, 3, 2, 1)
    assert hash_samples(turned, AFFINE) == hash_samples(data, AFFINE)
    zeros = torch.zeros(1, 2, 2, 2)
    assert hash_samples(-zeros, AFFINE) == hash_samples(zeros, AFFINE)
    assert hash_samples(zeros, -AFFINE * 0.0) == hash_samples(zeros, AFFINE * 0.0)


def test_one_sample_or_a_tenth_of_a_micrometre_matters():
    data = torch.zeros(1, 2, 2, 2)
    changed = data.clone()
    changed[0, 1, 1, 1] = 1e-6
    shifted = AFFINE.clone()
    shifted[0, 3] += 1e-4
    reference = hash_samples(data, AFFINE)
    assert hash_samples(changed, AFFINE) != reference
    assert hash_samples(data, shifted) != reference
    assert hash_samples(data.reshape(1, 1, 2, 4), AFFINE) != reference


def test_rounding_of_a_header_does_not_matter():
    data = torch.zeros(1, 2, 2, 2)
    assert hash_samples(data, AFFINE + 1e-9) == hash_samples(data, AFFINE)


def test_is_the_same_for_volumes_larger_than_one_block():
    data = torch.arange((1 << 22) + 5, dtype=torch.float32).reshape(1, 1, 1, -1)
    assert hash_samples(data, AFFINE) == hash_samples(data.double(), AFFINE)


def test_one_can_walk_back_through_the_parents():
    first = Provenance("read", inputs={"image": "abc"})
    second = Provenance("measure", {"bin": 25}, parents=(first,))
    record = second.to_json()
    assert record["parents"][0]["inputs"] == {"image": "abc"}
    assert json.loads(json.dumps(record)) == record


def test_the_digest_follows_every_field():
    base = Provenance("measure", {"bin": 25}, {"image": "abc"})
    assert base.digest == Provenance("measure", {"bin": 25}, {"image": "abc"}).digest
    others = [
        Provenance("segment", {"bin": 25}, {"image": "abc"}),
        Provenance("measure", {"bin": 26}, {"image": "abc"}),
        Provenance("measure", {"bin": 25}, {"image": "abd"}),
        Provenance("measure", {"bin": 25}, {"image": "abc"}, version="0"),
        Provenance("measure", {"bin": 25}, {"image": "abc"}, parents=(base,)),
    ]
    assert len({base.digest, *(o.digest for o in others)}) == 6


def test_hash_is_the_same_for_every_type_that_holds_the_values():
    affine = torch.eye(4, dtype=torch.float64)
    whole = torch.arange(-5, 50)
    kinds = (torch.int16, torch.int32, torch.int64, torch.float32, torch.float64)
    assert len({hash_samples(whole.to(kind), affine) for kind in kinds}) == 1


def test_hash_tells_values_that_only_float64_tells():
    affine = torch.eye(4, dtype=torch.float64)
    one = torch.tensor([1.0], dtype=torch.float64)
    assert hash_samples(one, affine) != hash_samples(one + 1e-12, affine)


def test_hash_of_a_mask_tells_its_voxels():
    affine = torch.eye(4, dtype=torch.float64)
    mask = torch.tensor([True, False])
    assert hash_samples(mask, affine) == hash_samples(mask.clone(), affine)
    assert hash_samples(mask, affine) != hash_samples(~mask, affine)
