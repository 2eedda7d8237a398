"""A person deletes their account at a real Better Auth server, whose hook deletes their tasks here, as the guide says."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings

from tests.better_auth.client import HERE, BetterAuthError, BetterAuthServer, Session
from tests.live import Live, User, free_port, live, manage
from tests.test_client import CLIENT, MISSING, node
from tests.test_documents import blocks

GUIDE = "docs/deleting-a-user.md"
pytestmark = pytest.mark.skipif(MISSING is not None, reason=f"Deleting a user was not tried: {MISSING}.")


@pytest.fixture(scope="module")
def erase_tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guide's two files, compiled in strict mode against Better Auth's own types."""
    folder = tmp_path_factory.mktemp("frontend")
    client, auth = (block.text for block in blocks(GUIDE) if block.info == "ts")
    assert client == (HERE / "erase-tasks.ts").read_text().strip()
    (folder / "erase-tasks.ts").write_text(client)
    (folder / "auth.ts").write_text(auth)
    (folder / "env.d.ts").write_text("declare const process: { env: Record<string, string | undefined> };")
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "node_modules").symlink_to((HERE / "node_modules").resolve())
    options = "--strict --skipLibCheck --target es2022 --lib es2022,dom --module esnext --moduleResolution bundler"
    made = node(folder, str(CLIENT / "node_modules/typescript/bin/tsc"), *options.split(), "auth.ts", "env.d.ts")
    assert made.returncode == 0, made.stdout
    return folder / "erase-tasks.js"


@contextmanager
def frontend_and_service(
    erase_tasks: Path, mode: str = "jwks", **variables: str
) -> Iterator[tuple[BetterAuthServer, Live]]:
    """Better Auth with the guide's hook, and the service that takes its tokens."""
    port, secret = str(free_port()), settings.BETTER_AUTH_SECRETS[0]
    todo = {"ERASE_TASKS": str(erase_tasks), "TODO_URL": f"http://127.0.0.1:{port}"}
    with BetterAuthServer.start(mode, secret, **todo) as server:
        if mode == "jwks":
            variables |= {"BETTER_AUTH_URL": server.base_url, "BETTER_AUTH_SECRET": ""}
        with live(PORT=port, **variables) as service:
            yield server, service


def sign_up(server: BetterAuthServer, service: Live, email: str) -> tuple[Session, User]:
    session = server.sign_up(email)
    return session, User(service, session.user_id, server.token(session))


def give(user: User, tasks: int, folder: Path) -> None:
    moment = "2026-01-01T00:00:00.000000Z"
    task = {"title": "Milk", "user_id": "x", "created_at": moment, "updated_at": moment}
    (folder / "tasks.jsonl").write_text(f"{json.dumps(task)}\n" * tasks + json.dumps({"tasks": tasks}))
    manage(user.live.variables, "import_user", user.subject, str(folder / "tasks.jsonl"))


@pytest.mark.promise("P-120")
@pytest.mark.parametrize(("mode", "tasks"), [("jwks", 1005), ("hs256", 3)])  # 1005: more than one page.
def test_the_tasks_of_a_person_who_deletes_their_account_are_deleted(
    mode: str, tasks: int, erase_tasks: Path, tmp_path: Path
) -> None:
    with frontend_and_service(erase_tasks, mode) as (server, service):
        (session, ann), (_, bob) = (sign_up(server, service, f"{name}@example.com") for name in ("ann", "bob"))
        give(ann, tasks, tmp_path)
        bobs = bob.create("Bread")
        server.delete_user(session)
        with pytest.raises(BetterAuthError, match="401"):
            server.token(session)
        # Her token is good until it ends.
        assert (ann.list(), bob.list()) == ([], [bobs])
        late = ann.create("Late")
        assert ann.list() == [late]
        server.erase_tasks(ann.subject)
        server.erase_tasks(ann.subject)
        assert (ann.list(), bob.list()) == ([], [bobs])


def test_an_account_stays_while_its_tasks_cannot_be_deleted_and_goes_at_the_next_try(erase_tasks: Path) -> None:
    with frontend_and_service(erase_tasks) as (server, service):
        session, ann = sign_up(server, service, "ann@example.com")
        task = ann.create("Milk")
        service.stop()
        with pytest.raises(BetterAuthError, match="500"):
            server.delete_user(session)
        service.start()
        assert server.token(session)
        assert ann.list() == [task]
        server.delete_user(session)
        assert ann.list() == []


def test_deleting_waits_where_the_service_says_that_it_is_too_much(erase_tasks: Path, tmp_path: Path) -> None:
    with frontend_and_service(erase_tasks, THROTTLE_RATE="8/second", WEB_CONCURRENCY="1") as (server, service):
        session, ann = sign_up(server, service, "ann@example.com")
        give(ann, 20, tmp_path)
        server.delete_user(session)
        assert " 429 " in service.log
        done = manage(service.variables, "erase_user", ann.subject, "--dry-run").stdout
        assert done == f"{ann.subject} has 0 tasks.\n"


def test_the_guides_command_erases_a_person(erase_tasks: Path, tmp_path: Path) -> None:
    (command,) = (block.text for block in blocks(GUIDE) if block.info == "text")
    with live() as service:
        ann = User(service)
        ann.create("Milk")
        _, _, *arguments = command.replace("USER_ID", ann.subject).split()
        manage(service.variables, *arguments)
        assert ann.list() == []
