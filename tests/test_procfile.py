"""The Procfile, under a Procfile runner, with nothing but environment variables."""

import re
import subprocess
import sys

import pytest

from tests.live import ROOT, Live, User, environment, fresh_database


@pytest.mark.promise("P-58")
def test_release_and_web_start_with_nothing_but_environment_variables() -> None:
    honcho = [sys.executable, "-m", "honcho", "--no-colour", "--env", "/dev/null", "--procfile", "Procfile"]
    with fresh_database() as database_url:
        # Without HOST: a container is reached from outside.
        variables = environment(database_url, HOST="")
        release = subprocess.run(
            [*honcho, "run", "sh", "-c", command("release")], cwd=ROOT, env=variables, capture_output=True, text=True
        )
        assert release.returncode == 0, release.stderr
        assert "Applying tasks." in release.stdout

        web = Live(variables, [*honcho, "start", "--port", variables["PORT"], "web"]).start()
        try:
            assert f"Listening at: http://0.0.0.0:{web.port}" in web.log
            user = User(web)
            task = user.create("Milk")
            assert user.list() == [task]
            assert web.request("GET", "/static/admin/css/base.css").status == 200
        finally:
            web.stop()
            web.log_file.unlink()


def command(process: str) -> str:
    lines = (ROOT / "Procfile").read_text().splitlines()
    (found,) = [line.partition(": ")[2] for line in lines if line.startswith(f"{process}:")]
    return found


def test_the_procfile_has_release_and_web_alone() -> None:
    assert re.findall(r"^(\w+):", (ROOT / "Procfile").read_text(), re.MULTILINE) == ["release", "web"]
