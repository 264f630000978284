"""The shell: quick help, verbs, exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from vesalius import __version__
from vesalius.measure import Config, catalogue


def in_process(words, extra=""):
    code = f"""
import sys
{extra}
from vesalius.cli import main
try:
    main({words!r})
finally:
    heavy = [m for m in ("torch", "numpy", "scipy", "pandas", "matplotlib") if m in sys.modules]
    print("HEAVY", heavy, file=sys.stderr)
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["measure", "--help"], ["demo", "--help"]]
)
def test_help_and_version_load_nothing_heavy(words):
    done = in_process(words)
    assert done.returncode == 0
    assert "HEAVY []" in done.stderr


def test_version(vesalius):
    assert vesalius("--version").out == f"vesalius {__version__}\n"


def test_help_lists_the_verbs_and_the_notice(vesalius):
    text = vesalius("--help").out
    for verb in ("demo", "measure", "features", "config"):
        assert verb in text
    assert "not a medical device" in " ".join(text.split())


def test_help_of_measure_is_that_of_the_command_itself(vesalius):
    text = vesalius("measure", "--help").out
    assert "--uncertainty" in text
    assert "--on-mismatch" in text


def test_the_sub_verbs_of_measure_can_be_found(vesalius):
    assert "audit a table; compare sessions" in vesalius("--help").out
    told = vesalius("measure", "--help").out
    assert "measure audit" in told
    assert "measure change" in told


def test_no_words_show_the_help(vesalius):
    assert "demo" in vesalius().out + vesalius().err


def test_an_unknown_verb_ends_with_2(vesalius):
    assert vesalius("measures").code == 2


def test_a_sub_verb_of_measure_is_not_taken_for_an_image():
    import typer

    from vesalius.cli._group import VerbGroup

    app = typer.Typer(cls=VerbGroup)
    heard = []

    @app.callback()
    def _group() -> None:
        """Group."""

    @app.command("run")
    def _run(image: str, labels: str) -> None:
        heard.append(("run", image, labels))

    @app.command("audit")
    def _audit(table: str) -> None:
        heard.append(("audit", table))

    app(["a.nii", "b.nii"], standalone_mode=False)
    app(["audit", "t.csv"], standalone_mode=False)
    assert heard == [("run", "a.nii", "b.nii"), ("audit", "t.csv")]


def test_features_lists_the_whole_catalogue(vesalius):
    text = vesalius("features").out
    for entry in catalogue():
        assert entry.tag in text
        assert entry.formula in text


def test_features_of_one_family_as_json(vesalius):
    entries = json.loads(vesalius("features", "--family", "glcm", "--json").out)
    assert len(entries) == 25
    assert {entry["family"] for entry in entries} == {"glcm"}
    assert all(entry["code"] and entry["formula"] and entry["reference"] for entry in entries)


def test_an_unknown_family_ends_with_2_and_names_the_known(vesalius):
    ended = vesalius("features", "--family", "glmc")
    assert ended.code == 2
    assert "must be one of morphology" in ended.err


def test_config_show_is_yaml_of_the_defaults(vesalius):
    assert yaml.safe_load(vesalius("config", "show").out) == Config().model_dump(mode="json")


def test_config_show_says_where_each_value_comes_from(vesalius, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("discretise: {bin_width: 5}\nmodality: CT")
    lines = vesalius("config", "show", "--config", path, "--origin").out.splitlines()
    sources = {line.split()[0]: line.split()[1:] for line in lines}
    assert sources["discretise.bin_width"] == ["file", "5.0"]
    assert sources["modality"] == ["file", '"CT"']
    assert sources["features.distance"] == ["default", "1"]


def shown_origins(vesalius, *words):
    lines = vesalius("config", "show", *words, "--origin").out.splitlines()
    return {line.split()[0]: line.split()[1] for line in lines}


def test_what_the_profile_sets_is_said_to_come_from_it(vesalius, tmp_path):
    (tmp_path / "c.yaml").write_text("modality: PET\ndiscretise: {bin_width: 0.5}")
    sources = shown_origins(vesalius, "--config", tmp_path / "c.yaml")
    assert sources["ivh.bin_width"] == sources["resegment.range"] == "profile"
    assert (sources["discretise.bin_width"], sources["perturb.count"]) == ("file", "default")


def test_without_a_file_everything_is_a_default(vesalius):
    assert set(shown_origins(vesalius).values()) == {"default"}


def test_a_parameter_file_of_pyradiomics_is_shown_with_its_origins(vesalius, tmp_path):
    (tmp_path / "p.yaml").write_text("setting: {binWidth: 10}\nimageType: {Original: {}}")
    shown = yaml.safe_load(vesalius("config", "show", "--config", tmp_path / "p.yaml").out)
    assert shown["profile"] == "pyradiomics"
    sources = shown_origins(vesalius, "--config", tmp_path / "p.yaml")
    assert (sources["discretise.bin_width"], sources["discretise.origin"]) == ("file", "profile")


def test_config_schema_accepts_the_defaults_and_refuses_an_unknown_key(vesalius):
    schema = json.loads(vesalius("config", "schema").out)
    jsonschema.validate(Config().model_dump(mode="json"), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"discretize": {}}, schema)


def test_a_fault_of_the_program_ends_with_5_and_keeps_the_details():
    # a module that cannot be imported is a fault, not an input
    done = in_process(["features"], extra="sys.modules['vesalius.measure'] = None")
    assert done.returncode == 5
    where = done.stderr.split("The details are in ")[1].split(": please")[0]
    assert "Traceback" in Path(where).read_text(encoding="utf-8")
