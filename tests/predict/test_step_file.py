"""A fitted step on disk: to the bit as it was, damage refused."""

import json

import numpy as np
import pytest
from made_tables import made

from vesalius.errors import ConfigError, ConvergenceError, FormatError
from vesalius.predict.adjust import Residualise
from vesalius.predict.harmonise import Combat, NestedCombat
from vesalius.predict.models import load_step, save_step


@pytest.fixture
def kept(tmp_path):
    table, _ = made(40)
    step = Combat("batch", ("age", "sex")).fit(table)
    save_step(step, tmp_path, name="one")
    return table, step, tmp_path


@pytest.mark.parametrize(
    "step",
    [
        Combat("batch", ("age", "sex"), mean_only=True),
        NestedCombat(("batch", "site")),
        Residualise(("age", "sex")),
    ],
)
def test_treats_cases_to_the_bit_as_before(step, tmp_path):
    table, _ = made(40)
    step.fit(table)
    save_step(step, tmp_path)
    again = load_step(tmp_path)
    assert again.settings() == step.settings()
    np.testing.assert_array_equal(again.transform(table).values, step.transform(table).values)


def test_equal_steps_are_equal_bytes(kept):
    _, step, folder = kept
    save_step(step, folder, name="two")
    for suffix in ("json", "npz"):
        assert (folder / f"one.{suffix}").read_bytes() == (folder / f"two.{suffix}").read_bytes()


def test_a_step_that_has_not_learned_is_not_written(tmp_path):
    with pytest.raises(ConvergenceError, match="must be fitted before it is used"):
        save_step(Combat("batch"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_every_truncation_is_refused(kept):
    _, _, folder = kept
    for suffix in ("json", "npz"):
        whole = (folder / f"one.{suffix}").read_bytes()
        for size in range(0, len(whole), max(len(whole) // 23, 1)):
            (folder / f"one.{suffix}").write_bytes(whole[:size])
            with pytest.raises(FormatError, match="one"):
                load_step(folder, name="one")
        (folder / f"one.{suffix}").write_bytes(whole)


def changed(folder, **new):
    file = folder / "one.json"
    text = json.loads(file.read_text()) | new
    file.write_text(json.dumps(text))
    return folder


def test_refuses_text_that_was_edited(kept):
    folder = changed(kept[2], version="9")
    with pytest.raises(FormatError, match="must be as it was written, its SHA-256 is another"):
        load_step(folder, name="one")


def test_refuses_another_format(kept):
    with pytest.raises(FormatError, match="must be the text of a step of vesalius"):
        load_step(changed(kept[2], format="vesalius model"), name="one")


def test_refuses_another_version(kept):
    with pytest.raises(FormatError, match="must have the format version 1 of a step, got 2"):
        load_step(changed(kept[2], format_version=2), name="one")


def test_refuses_the_arrays_of_another_step(kept):
    table, _, folder = kept
    save_step(Combat("batch").fit(table), folder, name="two")
    (folder / "one.npz").write_bytes((folder / "two.npz").read_bytes())
    with pytest.raises(FormatError, match=r"must be the file that one\.json was written with"):
        load_step(folder, name="one")


def test_refuses_what_does_not_parse(tmp_path):
    (tmp_path / "step.json").write_text("{")
    with pytest.raises(FormatError, match="must be the text of a step, it does not parse"):
        load_step(tmp_path)


def test_refuses_a_word_that_is_not_in_the_catalogue(kept):
    from vesalius.predict._store import _canonical, _sha

    folder = changed(kept[2], word="pickle")
    text = json.loads((folder / "one.json").read_text())
    text.pop("sha256")
    (folder / "one.json").write_text(json.dumps(text | {"sha256": _sha(_canonical(text))}))
    with pytest.raises(ConfigError, match="must have a known word"):
        load_step(folder, name="one")


@pytest.mark.parametrize("name", ["word", "state", "settings", "arrays"])
@pytest.mark.parametrize("value", [None, 3, [], {"x": {"y": 1}}])
def test_refuses_a_part_of_another_kind(kept, name, value):
    from vesalius.predict._store import _canonical, _sha

    folder = changed(kept[2], **{name: value})
    text = json.loads((folder / "one.json").read_text())
    text.pop("sha256")
    (folder / "one.json").write_text(json.dumps(text | {"sha256": _sha(_canonical(text))}))
    with pytest.raises((FormatError, ConfigError), match=r"must"):
        load_step(folder, name="one")
