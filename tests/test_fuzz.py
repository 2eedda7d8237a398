"""schemathesis, with all its checks, against the running service and the document it serves; fuzz_hooks.py says
which values it is fed and why."""

import os
import re
import subprocess
import sys

import pytest

from tests.live import ROOT, Live, User

pytestmark = pytest.mark.fuzz

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "50"))


def test_the_service_keeps_what_its_document_says(live: Live) -> None:
    user = User(live)
    for number in range(3):
        user.create(f"Task {number}")
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run"]
    options = ["--checks", "all", "--max-examples", str(EXAMPLES), "--no-color", "--max-failures", "10"]
    done = subprocess.run(
        [*command, f"{live.url}/openapi.json", "-H", f"Authorization: Bearer {user.token}", *options],
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": "tests.fuzz_hooks",
            "PYTHONPATH": str(ROOT),
            "FUZZ_USER": user.subject,
        },
        cwd=live.log_file.parent,  # It leaves a folder where it runs.
        capture_output=True,
        text=True,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 selected / 6 total" in done.stdout
    cases = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert cases
    assert int(cases[1]) > 300
    # Somebody must have been let in: a service that refuses everything keeps its document too.
    assert re.search(rf"POST {user.tasks} 201", live.log)
    assert re.search(rf"PATCH {user.tasks}/\d+/complete 200", live.log)
    assert "Traceback" not in live.log
