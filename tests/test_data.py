"""The commands for one person's data as an operator runs them, beside the running service."""

import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live import ROOT, Live, User, environment, fresh_database, manage

# TASKS=1000000 python -m pytest -s -k bounded tests/test_data.py prints the figures of a million tasks.
TASKS = int(os.environ.get("TASKS", "20000"))
MEASURED = """
import re, sys, manage
sys.argv[0] = "manage.py"
manage.main()
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""
# The same text whatever their number, but for the least that a task has.
FILL = """
from django.db import connection
moment = dict(
    postgresql="timestamptz '2026-01-01' + i * interval '1 second'",
    sqlite="datetime('2026-01-01', '+' || i || ' seconds')",
)[connection.vendor]
with connection.cursor() as cursor:
    cursor.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {tasks}) "
        "INSERT INTO tasks_task (user_id, title, description, completed, created_at, updated_at) "
        f"SELECT '{user}', 'A title of the usual length', '{words}', false, {{moment}}, {{moment}} FROM n"
    )
"""


def fill(variables: dict[str, str], user: str, tasks: int) -> None:
    words = "words " * max(5, 6_000_000 // TASKS)
    manage(variables, "shell", "-v0", "-c", FILL.format(user=user, tasks=tasks, words=words))


def peak(variables: dict[str, str], *arguments: str | Path) -> float:
    """Run a command, and return the most memory that it held at once, in MB."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *map(str, arguments)], cwd=ROOT, env=variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    *said, memory = done.stdout.splitlines()
    print(f"{arguments[0]} {' '.join(said)} {time.monotonic() - started:.1f} s, {int(memory) / 1024:.0f} MB")
    return int(memory) / 1024


@pytest.mark.promise("P-119")
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Only Linux tells a process's peak.")
def test_the_memory_of_each_command_is_bounded(tmp_path: Path) -> None:
    with fresh_database() as url:
        variables = environment(url)
        manage(variables, "migrate", "--noinput")
        peaks = {}
        for user, tasks in (("few", 1000), ("many", TASKS)):
            fill(variables, user, tasks)
            file = tmp_path / user
            peaks[user] = [
                peak(variables, "export_user", user, file),
                peak(variables, "import_user", f"{user}-again", file),
                peak(variables, "erase_user", user, "--yes"),
            ]
            with file.open("rb") as exported:
                assert sum(1 for _ in exported) == tasks + 1
            again = manage(variables, "erase_user", "--dry-run", f"{user}-again").stdout
            assert again == f"{user}-again has {tasks} tasks.\n"
        size = file.stat().st_size / 2**20
    # The file has far more than that.
    assert size > 30
    assert all(many < few + 20 for few, many in zip(peaks["few"], peaks["many"], strict=True)), peaks


def test_an_export_goes_to_standard_output_and_the_report_of_it_does_not(user: User) -> None:
    tasks = [user.create("Ünïted"), user.create("Milk")]
    for file in ([], ["-"]):
        done = manage(user.live.variables, "export_user", user.subject, *file)
        assert [json.loads(line) for line in done.stdout.splitlines()] == [*tasks, {"tasks": 2}]
        assert done.stderr == "Exported 2 tasks.\n"


@pytest.mark.parametrize("command", [["export_user", "alice"], ["erase_user", "alice", "--dry-run"]])
def test_where_standard_output_is_closed_a_command_says_so_in_one_line(live: Live, command: list[str]) -> None:
    done = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", sys.executable, "manage.py", *command],
        cwd=ROOT,
        env=live.variables,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert (done.returncode, done.stderr) == (1, "Standard output is closed.\n")


def test_an_id_that_the_terminal_cannot_show_is_escaped(live: Live) -> None:
    done = manage({**live.variables, "PYTHONIOENCODING": "ascii"}, "erase_user", "ünï", "--dry-run")
    assert done.stdout == "\\xfcn\\xef has 0 tasks.\n"


@pytest.mark.parametrize("arguments", [["export_user"], ["erase_user", "--yes"], ["erase_user", "--dry-run"]])
def test_an_id_that_is_not_utf_8_is_refused_in_one_line(live: Live, arguments: list[str]) -> None:
    done = manage(live.variables, *arguments, os.fsdecode(b"\xff"), expect=1)
    assert done.stderr == "CommandError: No user has this id: it is not UTF-8.\n"
    assert done.stdout == ""


def test_commands_show_their_progress_on_a_terminal_and_only_there(user: User, tmp_path: Path) -> None:
    user.create("Milk")
    file = str(tmp_path / "file")
    for arguments in (
        ["export_user", user.subject, file],
        ["erase_user", user.subject, "--yes"],
        ["import_user", user.subject, file],
    ):
        ours, terminal = pty.openpty()
        termios.tcsetwinsize(terminal, (24, 80))
        command = [sys.executable, "manage.py", *arguments]
        subprocess.run(command, cwd=ROOT, env=user.live.variables, stdout=subprocess.PIPE, stderr=terminal, check=True)
        os.close(terminal)
        said = os.read(ours, 65536).decode()
        os.close(ours)
        assert "100%" in said, said
        assert "Milk" not in said
    assert manage(user.live.variables, "erase_user", user.subject, "--yes").stderr == ""


@pytest.fixture
def heeding_signals() -> Iterator[None]:
    """What is started heeds them, though a shell ignores SIGINT for these tests in the background, and nohup SIGHUP."""
    handlers = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("heeding_signals")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_an_export_that_is_stopped_leaves_no_file(live: Live, tmp_path: Path, how: signal.Signals) -> None:
    fill(live.variables, how.name, 50_000)
    process = subprocess.Popen(
        [sys.executable, "manage.py", "export_user", how.name, str(tmp_path / "file")],
        cwd=ROOT,
        env=live.variables,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not any(path.stat().st_size for path in tmp_path.iterdir()):
        assert process.poll() is None
        time.sleep(0.005)
    for _ in range(3):  # As a terminal that is closed may send it.
        process.send_signal(how)
    _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (-how, f"Stopped by {how.name}.\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("heeding_signals")
def test_an_import_that_is_interrupted_says_so_in_one_line_and_keeps_nothing(live: Live, tmp_path: Path) -> None:
    moment = "2026-01-01T00:00:00.000000Z"
    task = {"title": "Milk", "user_id": "x", "created_at": moment, "updated_at": moment}
    os.mkfifo(tmp_path / "file")
    process = subprocess.Popen(
        [sys.executable, "manage.py", "import_user", "carol", str(tmp_path / "file")],
        cwd=ROOT,
        env=live.variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    # The command waits for the end of it. To open it for writing alone would wait for the command.
    with open(os.open(tmp_path / "file", os.O_RDWR), "w") as file:
        file.write(f"{json.dumps(task)}\n" * 2000)
        file.flush()
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=20)
    assert (process.returncode, said) == (-signal.SIGINT, "Stopped by SIGINT.\n")
    assert manage(live.variables, "erase_user", "carol", "--dry-run").stdout == "carol has 0 tasks.\n"


def test_on_a_database_that_is_not_migrated_a_command_ends_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with fresh_database() as url:
        for arguments in (
            ["export_user", "alice"],
            ["export_user", "alice", str(tmp_path / "new")],
            ["erase_user", "--yes", "alice"],
            ["import_user", "alice", str(tmp_path / "file")],
            ["clear_idempotency_keys"],
        ):
            (line,) = manage(environment(url), *arguments, expect=1).stderr.splitlines()
            assert "The database is not migrated (manage.py migrate): it lacks" in line
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_erasure_is_seen_by_the_running_service_at_once(live: Live) -> None:
    ann, bob = User(live), User(live)
    task, other = ann.create("Milk"), bob.create("Bread")
    said = manage(live.variables, "erase_user", ann.subject, "--yes").stdout
    assert said == f"{ann.subject} has 1 task.\nErased 1 task, and 0 entries of the admin's log.\n"
    assert (ann.list(), bob.list()) == ([], [other])
    assert ann.request("GET", f"{ann.tasks}/{task['id']}").status == 404
    assert ann.create("New")["id"] > other["id"]
