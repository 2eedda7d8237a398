"""The frontend's client, its types generated from the committed OpenAPI document, at work against the live server.

client/types.ts fails to compile where a type is not true.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from conftest import sign
from tests.better_auth.client import BetterAuthServer, why_unavailable
from tests.live import ROOT, Live, User, live
from tests.test_documents import blocks

CLIENT = ROOT / "tests" / "client"
FRONTEND = ROOT / "examples" / "frontend"
DOCUMENT = ROOT / "specs" / "002-backend-foundation" / "contracts" / "openapi.yaml"
GENERATOR = "node_modules/openapi-typescript/bin/cli.js"


def why_no_client() -> str | None:
    """What is missing before the client can be made, to say in a skipped test; None: nothing."""
    wanted: dict[str, str] = json.loads((CLIENT / "package.json").read_text())["dependencies"]
    for name, pin in wanted.items():
        pin = pin.rpartition("@")[2]  # Behind the name that it has in the registry, where that is another one.
        manifest = CLIENT / "node_modules" / name / "package.json"
        if not manifest.is_file() or json.loads(manifest.read_text())["version"] != pin:
            return f"{name} {pin} is not installed (run npm ci in tests/client)"
    return None


MISSING = why_unavailable() or why_no_client()
pytestmark = pytest.mark.skipif(MISSING is not None, reason=f"The TypeScript client was not tried: {MISSING}.")


def node(folder: Path, script: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["node", script, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def compiled(
    folder: Path, document: Path, *options: str, compiler: str = "typescript"
) -> subprocess.CompletedProcess[str]:
    """Types from the document, then the client and its programs in strict mode, all in a folder of their own."""
    for file in [
        FRONTEND / "src" / "client.ts",
        *CLIENT.glob("*.ts"),
        CLIENT / "tsconfig.json",
        CLIENT / "package.json",
    ]:
        shutil.copy(file, folder)
    (folder / "node_modules").symlink_to(CLIENT / "node_modules")
    generated = node(folder, GENERATOR, str(document), "--output", "todo-api.d.ts")
    assert generated.returncode == 0, generated.stderr
    return node(folder, f"node_modules/{compiler}/bin/tsc", *options)


@pytest.fixture(scope="module")
def better_auth() -> Iterator[BetterAuthServer]:
    with BetterAuthServer.start("hs256", settings.BETTER_AUTH_SECRETS[0]) as server:
        yield server


# The strictest that there is; and what fresh Vite and Next.js applications have, which lets other things through.
SETTINGS = {
    "nodenext": [],
    "bundler": [
        *["--module", "esnext", "--moduleResolution", "bundler", "--isolatedModules", "--erasableSyntaxOnly"],
        *["--exactOptionalPropertyTypes", "false", "--noUncheckedIndexedAccess", "false"],
    ],
}


@pytest.mark.promise("P-76", "P-95")
@pytest.mark.parametrize("compiler", ["typescript", "typescript-7"])
@pytest.mark.parametrize("resolution", SETTINGS)
def test_the_client_compiles_and_works_with_a_real_token(
    tmp_path: Path, live: Live, better_auth: BetterAuthServer, compiler: str, resolution: str
) -> None:
    """Renew a token, create twice with one key, list over pages, conflict on a stale tag, complete, delete, 404."""
    made = compiled(tmp_path, DOCUMENT, *SETTINGS[resolution], compiler=compiler)
    assert made.returncode == 0, made.stdout
    ann = better_auth.sign_up(f"{compiler}-{resolution}@example.com")
    done = node(
        tmp_path,
        "out/run.js",
        TODO_URL=live.url,
        AUTH_URL=better_auth.base_url,
        SESSION=ann.bearer_token,
        USER_ID=ann.user_id,
        EXPIRED_TOKEN=sign(ann.user_id, exp=int(time.time()) - 3600),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_the_client_is_called_as_the_readme_shows(tmp_path: Path) -> None:
    (shown,) = [block.text for block in blocks("README.md") if block.info == "ts"]
    given = "declare const userId: string, freshToken: () => Promise<string>;\n"
    (tmp_path / "shown.ts").write_text(given + shown)
    made = compiled(tmp_path, DOCUMENT, *SETTINGS["bundler"], "--noEmit")
    assert made.returncode == 0, made.stdout


@pytest.mark.documents  # the same whatever the database
@pytest.mark.skipif(
    not (FRONTEND / "node_modules").is_dir(),
    reason="The TypeScript of the example was not tried: run npm ci in examples/frontend.",
)
@pytest.mark.parametrize("compiler", ["typescript", "typescript-7"])
def test_the_example_around_it_compiles(tmp_path: Path, compiler: str) -> None:
    shutil.copytree(FRONTEND / "src", tmp_path / "src")
    shutil.copy(FRONTEND / "tsconfig.json", tmp_path)
    (tmp_path / "node_modules").symlink_to(FRONTEND / "node_modules")
    generated = node(CLIENT, GENERATOR, str(DOCUMENT), "--output", str(tmp_path / "src" / "todo-api.d.ts"))
    assert generated.returncode == 0, generated.stderr
    made = node(tmp_path, str(CLIENT / "node_modules" / compiler / "bin" / "tsc"))
    assert made.returncode == 0, made.stdout


@pytest.mark.promise("P-108")
@pytest.mark.parametrize(("rate", "waits"), [("1/second", True), ("1/minute", False)])
def test_the_client_waits_as_long_as_retry_after_says_if_that_is_not_long(
    tmp_path: Path, rate: str, waits: bool
) -> None:
    made = compiled(tmp_path, DOCUMENT, compiler="typescript-7")
    assert made.returncode == 0, made.stdout
    with live(THROTTLE_RATE=rate, WEB_CONCURRENCY="1") as service:
        done = node(tmp_path, "out/throttled.js", TODO_URL=service.url, TOKEN=sign("ann"), USER_ID="ann")
        listed = User(service, "ann")
        time.sleep(waits)
        titles = [task["title"] for task in listed.list()] if waits else ["Milk"]
    assert (done.returncode, done.stderr) == (0, "")
    again, with_tag = json.loads(done.stdout)
    if waits:
        assert "code" not in again
        assert 1 <= again["waited"] < 3
        assert titles == ["Bread", "Milk"]
    else:
        assert (again["code"], again["retryAfter"] > 50, again["waited"] < 1) == ("throttled", True, True)
    # Sent again by itself, a write that was done after all would look like a conflict.
    assert (with_tag["code"], with_tag["retryAfter"] >= 1, with_tag["waited"] < 1) == ("throttled", True, True)


@pytest.mark.promise("P-76")
@pytest.mark.documents  # the same whatever the database
@pytest.mark.parametrize(
    ("place", "lie"),
    [
        ("components schemas Task properties description nullable", False),
        ("components schemas Task required", ["id", "title"]),
        ("components schemas Problem properties code", {"type": "string"}),
        ("paths /api/{user_id}/tasks get responses 200 content application/json schema", {"type": "object"}),
        ("paths /api/{user_id}/tasks/{task_id} put responses 412 headers ETag required", False),
        (
            "paths /api/{user_id}/tasks/{task_id} get responses 404 content",
            {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        ),
    ],
)
def test_a_type_that_is_not_true_does_not_compile(tmp_path: Path, place: str, lie: Any) -> None:
    document = yaml.safe_load(DOCUMENT.read_text())
    *way, last = place.split()
    member = document
    for name in way:
        member = member[name]
    assert last in member
    member[last] = lie
    (tmp_path / "openapi.yaml").write_text(yaml.safe_dump(document))
    made = compiled(tmp_path, tmp_path / "openapi.yaml", "--skipLibCheck", "--noEmit")
    assert made.returncode != 0
    assert "types.ts" in made.stdout
