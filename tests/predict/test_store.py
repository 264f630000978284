"""Store: a model as JSON and arrays; what is damaged is refused, and nothing in it runs."""

import io
import json
import zipfile
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_tables import made
from test_fit_model import ASKED, asked, draw

from vesalius.errors import ConfigError, FormatError, OutputError
from vesalius.predict import Recipe, fit_recipe
from vesalius.predict._catalogue import ESTIMATORS, STEPS, class_of
from vesalius.predict._state_text import check_state, packed, unpacked
from vesalius.predict._store import _canonical, _sha
from vesalius.predict.harmonise import Combat
from vesalius.predict.models import (
    apply_model,
    default_recipe,
    fit_model,
    load_model,
    recipe_to_json,
    save_model,
)
from vesalius.predict.select import Impute, Mrmr, Redundancy, Scale

SETTINGS = {
    "combat": {"batch": "batch"},
    "nested-combat": {"batches": ("batch", "site")},
    "longitudinal-combat": {"batch": "batch", "subject": "patient"},
    "quantile": {"batch": "batch"},
    "zscore": {"batch": "batch"},
    "residualise": {"columns": ("age",)},
    "stability": {"icc": (("f00", 0.9), ("f01", 0.8))},
}


@pytest.fixture(scope="module")
def model():
    recipe = Recipe(
        (Impute(indicator=True), Combat(keep=("age",)), Redundancy(), Scale(), Mrmr(4)),
        default_recipe().estimator,
    )
    table = replace(asked(), parameters="abc", units={"f00": "mm"})
    fitted = fit_model(table, replace(ASKED, batch="batch"), recipe, generator=draw())
    card = {"scores": {"auc": {"value": 0.7, "low": None}}, "plan": "5 x 5"}
    return replace(fitted, threshold=0.375, recalibration=(-0.25, 0.75), card=card)


@pytest.fixture
def folder(model, tmp_path):
    save_model(model, tmp_path / "model")
    return tmp_path / "model"


def test_a_loaded_model_predicts_the_same_bits(model, folder):
    table = replace(asked(30, seed=5), parameters="abc")
    a, b = apply_model(model, table), apply_model(load_model(folder), table)
    np.testing.assert_array_equal(a.scores, b.scores)
    assert a.table.equals(b.table)
    assert a.remarks == b.remarks


def test_everything_else_comes_back(model, folder):
    back = load_model(folder)
    for name in ("description", "classes", "parameters", "threshold", "recalibration"):
        assert getattr(back, name) == getattr(model, name)
    assert asdict(back.training) == asdict(model.training)
    assert back.card == model.card
    assert back.provenance == model.provenance
    assert recipe_to_json(back.recipe) == recipe_to_json(model.recipe)
    assert back.fitted.chosen == model.fitted.chosen
    assert back.fitted.inner == model.fitted.inner
    assert back.fitted.features == model.fitted.features


@pytest.mark.parametrize("word", STEPS)
def test_every_step_predicts_the_same_bits(word, tmp_path):
    table = asked(40, 6)
    step = class_of(word)(**SETTINGS.get(word, {}))
    fitted = fit_model(table, ASKED, Recipe((step,), class_of("ridge")()), generator=draw())
    save_model(fitted, tmp_path)
    np.testing.assert_array_equal(
        load_model(tmp_path).fitted.predict(table), fitted.fitted.predict(table)
    )


@pytest.mark.parametrize("word", ESTIMATORS)
def test_every_estimator_predicts_the_same_bits(word, tmp_path):
    kind = class_of(word).kinds[0]
    table, target = made(40, 5, kind=kind)
    base = fit_model(asked(), ASKED, default_recipe(), generator=draw())
    estimator = class_of(word)().fit(table.values, target)
    fitted = replace(
        fit_recipe(Recipe((), class_of("constant")()), table, target), estimator=estimator
    )
    save_model(replace(base, fitted=fitted), tmp_path)
    np.testing.assert_array_equal(load_model(tmp_path).fitted.predict(table), fitted.predict(table))


def test_the_same_model_gives_the_same_bytes(model, folder, tmp_path):
    save_model(load_model(folder), tmp_path / "again")
    for name in ("model.json", "model.npz"):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_replaces_a_model_and_leaves_other_files(model, folder):
    (folder / "report.html").write_text("mine")
    save_model(replace(model, threshold=0.5), folder)
    assert load_model(folder).threshold == 0.5
    assert (folder / "report.html").read_text() == "mine"
    assert sorted(p.name for p in folder.iterdir()) == ["model.json", "model.npz", "report.html"]


def test_a_model_without_threshold_comes_back(model, tmp_path):
    save_model(replace(model, threshold=float("nan")), tmp_path)
    assert np.isnan(load_model(tmp_path).threshold)


def test_no_name_of_a_case_is_in_the_files(folder):
    text = (folder / "model.json").read_text() + repr((folder / "model.npz").read_bytes())
    assert "case0" not in text
    assert "p00" not in text


@pytest.mark.parametrize("name", ["model.json", "model.npz"])
def test_refuses_every_truncation(folder, name):
    whole = (folder / name).read_bytes()
    for share in np.linspace(0, 1, 40, endpoint=False):
        (folder / name).write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(FormatError):
            load_model(folder)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_refuses_every_changed_byte(data):
    texts = _whole_once()
    name = data.draw(st.sampled_from(["model.json", "model.npz"]))
    at = data.draw(st.integers(0, len(texts[name]) - 2))
    change = data.draw(st.integers(1, 255))
    broken = bytearray(texts[name])
    broken[at] ^= change
    folder = _FOLDER[0]
    (folder / name).write_bytes(bytes(broken))
    try:
        load_model(folder)
    except FormatError:
        return
    finally:
        (folder / name).write_bytes(texts[name])
    # white space between the tokens of JSON is no part of what it says
    assert name == "model.json"
    assert json.loads(bytes(broken)) == json.loads(texts[name])


_FOLDER, _TEXTS = [], {}


def _whole_once():
    if not _FOLDER:
        import tempfile
        from pathlib import Path

        _FOLDER.append(Path(tempfile.mkdtemp()))
        fitted = fit_model(asked(30, 4), ASKED, default_recipe(), generator=draw())
        save_model(fitted, _FOLDER[0])
        for name in ("model.json", "model.npz"):
            _TEXTS[name] = (_FOLDER[0] / name).read_bytes()
    return _TEXTS


def forged(folder, change):
    """Change what the text says and sign it anew, as somebody who means harm would."""
    text = json.loads((folder / "model.json").read_text())
    change(text)
    text.pop("sha256")
    text["sha256"] = _sha(_canonical(text))
    (folder / "model.json").write_text(json.dumps(text))


def rest(text):
    return text["rest"]["~map"]


def training(text):
    return rest(text)["training"]["~map"]


def deep(levels):
    return json.loads("[" * levels + "]" * levels)


FORGERIES = [
    (lambda t: t["steps"][0].update(word="os.system"), "must describe a model.*known word"),
    (lambda t: t["steps"][0].update(word="lasso"), "got the estimator 'lasso'"),
    (lambda t: t["estimator"].update(word="scale"), "got the step 'scale'"),
    (lambda t: t["steps"][0].update(settings={"x": 1}), "known keys, got 'x'"),
    (lambda t: t["steps"][0]["state"].pop("fill_"), "a saved impute must have learned"),
    (lambda t: t["steps"][0]["state"].update(fill_="no"), "fill_ of a saved impute must be"),
    (lambda t: t["steps"][0]["state"].update(fill_={"~array": "x"}), "of known kinds, got '~array"),
    (lambda t: t["steps"][0]["state"].update(fill_={"~import": "os"}), "got '~import': 'os'"),
    (lambda t: t["steps"][0]["state"].update(fill_={}), "of known kinds, got ''"),
    (lambda t: t.pop("rest"), "must describe a model, it does not: 'rest'"),
    (lambda t: t.update(wanted="f00"), "must hold a list of names, got 'f00'"),
    (lambda t: t.update(classes=[1, 2]), "must hold a list of names"),
    (lambda t: t.update(steps=3), "must describe a model"),
    (lambda t: t.update(provenance=[]), "must describe a model"),
    (lambda t: t.update(description={"kind": "new"}), "must describe a model"),
    (lambda t: rest(t).update(threshold=7), "a threshold from 0 to 1 and a finite recalibration"),
    (lambda t: rest(t).update(recalibration=[0, {"~float": "nan"}]), "and a finite recalibration"),
    (lambda t: training(t)["low"]["~map"].update(f00="no"), "could not convert string to float"),
    (lambda t: rest(t).update(card=deep(600)), "must describe a model"),
    (lambda t: t.update(format_version=2), "must have format version 1, got 2"),
    (lambda t: t.update(format="other"), "must be a model of vesalius, it does not say so"),
]


@pytest.mark.parametrize(("change", "message"), FORGERIES)
def test_refuses_a_forged_text(folder, change, message):
    forged(folder, change)
    with pytest.raises(FormatError, match=message):
        load_model(folder)


def swap_arrays(folder, blob):
    (folder / "model.npz").write_bytes(blob)
    forged(folder, lambda t: t["arrays"].update(sha256=_sha(blob)))


def test_refuses_an_array_of_objects(folder):
    file = io.BytesIO()
    np.savez(file, fill=np.array([print], dtype=object))
    swap_arrays(folder, file.getvalue())
    with pytest.raises(FormatError, match=r"model.npz must be a file of arrays, it is not"):
        load_model(folder)


def test_refuses_an_array_that_says_it_is_too_large_for_any_memory(folder):
    header = io.BytesIO()
    said = {"descr": "<f8", "fortran_order": False, "shape": (10**13,)}
    np.lib.format.write_array_header_1_0(header, said)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as parts:
        parts.writestr("a.npy", header.getvalue() + bytes(64))
    swap_arrays(folder, file.getvalue())
    with pytest.raises(FormatError, match=r"model.npz must be a file of arrays, it is not"):
        load_model(folder)


def test_refuses_numbers_that_json_does_not_know(folder):
    text = (folder / "model.json").read_text()
    (folder / "model.json").write_text(text.replace("0.375", "NaN"))
    with pytest.raises(FormatError, match="must hold the SHA-256 of itself"):
        load_model(folder)


TREES = ("tree", "forest", "boosting")
BROKEN = [
    ("feature", lambda a: np.where(a >= 0, 5, a)),
    ("below", lambda a: a + 30_000),
    ("below", lambda a: a - 30_000),
    ("above", lambda a: 0 * a),
    ("above", lambda a: a + 30_000),
    ("start", lambda a: a - 1),
    ("start", lambda a: a[:0]),
    ("start", lambda a: a * 1.0),
    ("threshold", lambda a: a[:-1]),
    ("threshold", lambda a: a.astype(np.float32)),
    ("leaves", lambda a: a[:-1]),
    ("leaves", lambda a: a[:, :0]),
    ("leaves", lambda a: a[:, 0]),
]


@pytest.fixture(scope="module")
def grown():
    table, target = made(40, 5)
    return {word: class_of(word)().fit(table.values, target).state() for word in TREES}


@pytest.mark.parametrize("word", TREES)
@pytest.mark.parametrize(("name", "change"), BROKEN)
def test_refuses_trees_that_lead_out_of_memory_or_in_a_circle(grown, word, name, change):
    state = dict(grown[word])
    check_state(class_of(word), state)
    state["nodes_"] = state["nodes_"] | {name: change(state["nodes_"][name])}
    with pytest.raises(FormatError, match="must be arrays of nodes that lead down to leaves"):
        check_state(class_of(word), state)


def test_refuses_trees_with_a_part_too_few(grown):
    state = dict(grown["tree"])
    state["nodes_"] = {k: v for k, v in state["nodes_"].items() if k != "above"}
    with pytest.raises(FormatError, match="must be arrays of nodes that lead down to leaves"):
        check_state(class_of("tree"), state)


def test_refuses_a_file_that_unpacks_to_too_much(folder):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("a.npy", b"")
    blob = bytearray(file.getvalue())
    # the directory of the zip file says 3 GB, as a bomb would
    at = blob.index(b"PK\x01\x02")
    blob[at + 24 : at + 28] = (3_000_000_000).to_bytes(4, "little")
    swap_arrays(folder, bytes(blob))
    with pytest.raises(FormatError, match="must unpack to at most 1073741824 bytes"):
        load_model(folder)


def test_refuses_arrays_of_another_model(model, folder, tmp_path):
    save_model(
        fit_model(asked(seed=2), ASKED, default_recipe(), generator=draw()), tmp_path / "other"
    )
    (folder / "model.npz").write_bytes((tmp_path / "other" / "model.npz").read_bytes())
    with pytest.raises(FormatError, match=r"must be the file that model.json was written with"):
        load_model(folder)


def test_refuses_an_edited_text(folder):
    text = (folder / "model.json").read_text()
    (folder / "model.json").write_text(text.replace("0.375", "0.975"))
    with pytest.raises(FormatError, match="must hold the SHA-256 of itself"):
        load_model(folder)


def test_refuses_a_folder_without_a_model(tmp_path):
    with pytest.raises(FormatError, match=r"a model must be a folder with model.json and"):
        load_model(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\x00", "3"])
def test_refuses_what_is_no_text_of_a_model(folder, text):
    (folder / "model.json").write_text(text)
    with pytest.raises(FormatError, match=r"must be JSON text|must be a model of vesalius"):
        load_model(folder)


def test_refuses_a_file_that_is_too_long(folder, monkeypatch):
    monkeypatch.setattr("vesalius.predict._store.MOST_BYTES", 1000)
    with pytest.raises(FormatError, match=r"model.json must have at most 1000 bytes"):
        load_model(folder)


def test_refuses_a_place_that_cannot_be_a_folder(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a model must go into a folder, 'file' cannot be one"):
        save_model(model, tmp_path / "file")


def test_refuses_a_step_that_is_not_in_the_catalogue(model, tmp_path):
    from test_pipeline import Witness

    step = Witness().fit(asked())
    with pytest.raises(ConfigError, match="a step or an estimator must have a known word"):
        save_model(replace(model, fitted=replace(model.fitted, steps=(step,))), tmp_path)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(values)
@settings(max_examples=100, deadline=None)
def test_a_learned_value_comes_back_as_it_was(value):
    back = unpacked(json.loads(json.dumps(packed(value, {}, "x"))), {})
    assert repr(back) == repr(value)


def test_arrays_inside_come_back_with_their_type():
    value = {"a": (np.arange(3, dtype=np.int32), [np.array([True])]), "b": np.float64(0.5)}
    arrays = {}
    back = unpacked(json.loads(json.dumps(packed(value, arrays, "x"))), arrays)
    assert back["a"][0].dtype == np.int32
    assert back["a"][1][0].tolist() == [True]
    assert back["b"] == 0.5
    assert len(arrays) == 2


@pytest.mark.parametrize("bad", [print, {1: 2}, np.array(["text"]), {"a": object()}])
def test_refuses_to_save_what_is_neither_text_nor_number(bad):
    with pytest.raises(FormatError, match="a model must have learned numbers, texts and arrays"):
        packed(bad, {}, "x")


def test_refuses_a_number_where_a_text_was_learned():
    state = Scale().fit(asked()).state()
    check_state(Scale, state)
    with pytest.raises(FormatError, match="features_ of a saved scale must be tuple, got list"):
        check_state(Scale, {**state, "features_": ["f00"]})


def test_a_process_that_is_killed_leaves_a_whole_model_or_none(tmp_path):
    import signal
    import subprocess
    import sys
    import time

    base = fit_model(asked(30, 4), ASKED, default_recipe(), generator=draw())
    save_model(base, tmp_path / "model")
    code = (
        "import sys; from dataclasses import replace\n"
        "from vesalius.predict.models import load_model, save_model\n"
        "model, k = load_model(sys.argv[1]), 0\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    k += 1; save_model(replace(model, threshold=1 / (1 + k)), sys.argv[1])\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "model")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.15)
        process.send_signal(signal.SIGKILL)
    there = sorted(p.name for p in (tmp_path / "model").iterdir() if not p.name.startswith("."))
    if there == ["model.json", "model.npz"]:
        assert load_model(tmp_path / "model").fitted.wanted == base.fitted.wanted
    else:  # killed between the two names: never a text with another's arrays
        with pytest.raises(FormatError, match=r"a model must be a folder with model\.json and"):
            load_model(tmp_path / "model")
