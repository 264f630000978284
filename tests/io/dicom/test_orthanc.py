"""The network against a real Orthanc, in a network namespace that nothing else can reach."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CONFINED = ["unshare", "--map-root-user", "--net"]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Run the scenario once; it gives what each step came to."""
    for program in ("Orthanc", "unshare", "ip", "openssl"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    if subprocess.run([*CONFINED, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("a network namespace cannot be made here")
    folders = [str(p) for p in (HERE, HERE.parent, HERE.parent.parent)]
    path = os.pathsep.join([*folders, os.environ.get("PYTHONPATH", "")])
    command = f'ip link set lo up && exec "{sys.executable}" orthanc_scenario.py "$0"'
    done = subprocess.run(
        [*CONFINED, "sh", "-c", command, str(tmp_path_factory.mktemp("orthanc"))],
        cwd=HERE,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(found, dict)
    return found


def test_sends_and_finds(told: dict[str, object]) -> None:
    assert told["send"] == [17, 0, 0]
    assert told["find"] == ["1.2.3.99"]
    assert told["series"] == [["1.2.3", "CT", 12], ["1.2.4", "CT", 5]]


def test_sends_nothing_twice_with_a_record(told: dict[str, object]) -> None:
    assert told["send again"] == [0, 17, 0]
    assert told["send twice"] == [17, 0, 0]


def test_gets_and_moves_all_as_it_was_sent(told: dict[str, object]) -> None:
    assert told["get"] == told["move"] == [17, 0, 0]
    assert told["got"] is True
    assert told["moved"] is True


def test_gets_only_what_is_missing(told: dict[str, object]) -> None:
    assert told["get again"] == [0, 17, 0]
    assert told["get rest"] == [2, 15, 0]


def test_wrong_titles_are_refused(told: dict[str, object]) -> None:
    for step in ("stranger", "other"):
        kind, text = told[step]  # type: ignore[misc]
        assert kind == "NetworkError"
        assert "must accept a call of" in text


def test_goes_on_after_being_killed(told: dict[str, object]) -> None:
    count = told["killed at"]
    assert isinstance(count, int)
    assert 10 <= count < 150
    assert told["resumed"] == [150 - count, count, 0]
    assert told["resumed same"] is True


def test_a_server_that_is_down_is_told_after_retries(told: dict[str, object]) -> None:
    kind, text = told["down"]  # type: ignore[misc]
    assert kind == "NetworkError"
    assert "must answer, it does not: Connection refused" in text
    assert text.endswith("(tried 3 times)")


def web(told: dict[str, object]) -> None:
    if "wado" not in told:
        pytest.skip("the DICOMweb plugin of Orthanc is not installed")


def test_finds_fetches_and_stores_over_the_web(told: dict[str, object]) -> None:
    web(told)
    assert told["qido"] == ["1.2.3.99", "1.2.77"]
    assert told["images"] == 12
    assert told["wado"] == [17, 0, 0]
    assert told["wadoed"] is True
    assert told["wado rest"] == [1, 16, 0]
    assert told["stow"] == told["stowed"] == [4, 0, 0]
    assert told["stowed same"] is True


def test_a_wrong_password_is_refused(told: dict[str, object]) -> None:
    web(told)
    kind, text = told["wrong password"]  # type: ignore[misc]
    assert kind == "NetworkError"
    assert "must let us in, it does not (HTTP 401)" in text


def test_dicom_over_tls_with_certificates_on_both_sides(told: dict[str, object]) -> None:
    assert told["tls send"] == told["tls get"] == [17, 0, 0]
    kind, text = told["tls stranger"]  # type: ignore[misc]
    assert kind == "NetworkError"
    assert "must prove its name with a certificate that is trusted" in text
