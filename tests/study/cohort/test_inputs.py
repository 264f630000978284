"""Files are named by their bytes, with those that stand beside a header."""

import os

from vesalius.study.cohort._inputs import hash_path, stamp_of


def test_the_same_bytes_have_the_same_name_wherever_they_are(tmp_path):
    (tmp_path / "a.nii").write_bytes(b"x" * 3000)
    (tmp_path / "b.nii").write_bytes(b"x" * 3000)
    assert hash_path(tmp_path / "a.nii") == hash_path(tmp_path / "b.nii")


def test_one_other_byte_is_another_name(tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(bytes(1 << 21))
    before = hash_path(path)
    path.write_bytes(bytes((1 << 21) - 1) + b"x")
    assert hash_path(path) != before


def test_a_folder_is_its_files_and_their_names(tmp_path):
    folder = tmp_path / "series"
    (folder / "deep").mkdir(parents=True)
    (folder / "1.dcm").write_bytes(b"one")
    before = hash_path(folder)
    (folder / "deep" / "2.dcm").write_bytes(b"two")
    grown = hash_path(folder)
    (folder / "1.dcm").rename(folder / "3.dcm")
    assert len({before, grown, hash_path(folder)}) == 3


def test_files_that_are_split_elsewhere_have_another_name(tmp_path):
    for name, parts in {"one": (b"ab", b"c"), "two": (b"a", b"bc")}.items():
        (tmp_path / name).mkdir()
        for k, part in enumerate(parts):
            (tmp_path / name / f"{k}").write_bytes(part)
    assert hash_path(tmp_path / "one") != hash_path(tmp_path / "two")


def test_the_samples_beside_a_header_count(tmp_path):
    header = tmp_path / "a.mhd"
    header.write_text("NDims = 3\nElementDataFile = samples.bin\n")
    (tmp_path / "samples.bin").write_bytes(b"1")
    before = hash_path(header)
    (tmp_path / "unrelated.txt").write_bytes(b"2")
    assert hash_path(header) == before
    (tmp_path / "samples.bin").write_bytes(b"3")
    assert hash_path(header) != before


def test_a_partner_of_the_same_stem_counts(tmp_path):
    (tmp_path / "a.hdr").write_bytes(bytes(348))
    (tmp_path / "a.img").write_bytes(b"1")
    before = hash_path(tmp_path / "a.hdr")
    (tmp_path / "a.img").write_bytes(b"2")
    assert hash_path(tmp_path / "a.hdr") != before


def test_samples_named_by_a_pattern_are_all_files_of_the_folder(tmp_path):
    header = tmp_path / "a.mhd"
    header.write_text("ElementDataFile = slice%03d.raw 1 2 1\n")
    (tmp_path / "slice001.raw").write_bytes(b"1")
    before = hash_path(header)
    (tmp_path / "slice001.raw").write_bytes(b"2")
    assert hash_path(header) != before


def test_a_stamp_changes_with_size_or_time(tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(b"1")
    before = stamp_of(path, tmp_path)
    assert stamp_of(path, tmp_path) == before
    os.utime(path, ns=(1, 1))
    assert stamp_of(path, tmp_path) != before


def test_what_cannot_be_read_has_no_stamp(tmp_path):
    assert stamp_of(tmp_path / "absent") == ""
