"""On Linux a skipped test is a failed one, so that a green run means that everything was tried."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[1]
ON_LINUX = sys.platform == "linux"

SKIPPED_TEST = "import pytest\ndef test_it(): pytest.skip('not today')\n"
SKIPPED_BY_MARK = "import pytest\n@pytest.mark.skipif(True, reason='not today')\ndef test_it(): pass\n"
SKIPPED_FILE = "import pytest\npytest.importorskip('no_such_module')\ndef test_it(): pass\n"
EXPECTED_FAILURE = "import pytest\n@pytest.mark.xfail\ndef test_it(): assert False\n"


def outcome(folder: Path, source: str) -> tuple[int, str]:
    """How a run over one file ends, with the hooks of this project."""
    (folder / "test_it.py").write_text(source)
    options = ["-q", "-p", "tests.conftest", "-p", "no:cacheprovider", "--rootdir", str(folder)]
    command = [sys.executable, "-m", "pytest", *options, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("source", [SKIPPED_TEST, SKIPPED_BY_MARK, SKIPPED_FILE], ids=["test", "mark", "file"])
def test_a_skip_fails_the_run_on_linux(tmp_path: Path, source: str) -> None:
    """And the report tells what was skipped, and what to do instead."""
    code, output = outcome(tmp_path, source)
    assert (code != 0) == ON_LINUX, output
    assert ("no test may be on Linux" in output) == ON_LINUX, output


@pytest.mark.slow
def test_an_expected_failure_does_not(tmp_path: Path) -> None:
    """It ran, and its reason stands beside it."""
    code, output = outcome(tmp_path, EXPECTED_FAILURE)
    assert code == 0, output
    assert "1 xfailed" in output
