"""Whether a system does what the others do, checked before anything is measured."""

import json
import time
import urllib.error
import urllib.request
from typing import Any

from benchmarks.better_auth import PUBLISHED, token
from benchmarks.database import COLUMNS, Data
from benchmarks.load import WrongAnswer
from benchmarks.systems import Server
from todo_project.tests.key_server import key_pair

TASK = {"title": "Water the plants", "description": "The fern too.", "completed": False}


def ask(
    server: Server, method: str, path: str, bearer: str | None = None, body: Any = None
) -> tuple[int, Any, dict[str, str]]:
    """The status, the body as JSON where there is one, and the headers."""
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    data = None
    if body is not None:
        data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
    request = urllib.request.Request(f"{server.url}{path}", data, headers, method=method)
    try:
        answer = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        text = answer.read()
        is_json = "json" in (answer.headers.get("Content-Type") or "")
        return answer.status, json.loads(text) if text and is_json else None, dict(answer.headers)


def check(server: Server, data: Data, algorithm: str = "EdDSA") -> None:
    """Raise WrongAnswer at the first thing that another system would answer differently."""

    def must(condition: bool, what: str) -> None:
        if not condition:
            raise WrongAnswer(f"{server.system.title}: {what}")

    def expect(status: int, method: str, path: str, bearer: str | None = None, body: Any = None) -> Any:
        got, answer, _ = ask(server, method, path, bearer, body)
        must(got == status, f"{method} {path} answered {got}, not {status}: {answer}")
        return answer

    alice, bob = data.active_users[:2]
    hers, his = token(alice, algorithm), token(bob, algorithm)
    tasks = f"/api/{alice}/tasks"

    page = expect(200, "GET", f"{tasks}?limit=50", hers)
    must(len(page) == 50, f"a page has {len(page)} tasks, not 50")
    must(set(page[0]) == set(COLUMNS.split(", ")), f"a task's fields are {sorted(page[0])}")
    must({task["user_id"] for task in page} == {alice}, "a page shows somebody else's task")
    must(
        page == sorted(page, key=lambda task: (task["created_at"], task["id"]), reverse=True),
        "a page is not newest first",
    )

    made = expect(201, "POST", tasks, hers, TASK)
    task = f"{tasks}/{made['id']}"
    must({name: made[name] for name in TASK} == TASK and made["user_id"] == alice, f"a new task came back as {made}")
    must(expect(200, "GET", task, hers)["title"] == TASK["title"], "a new task cannot be read")
    changed = expect(200, "PUT", task, hers, TASK | {"title": "Feed the cat", "completed": True})
    must((changed["title"], changed["completed"]) == ("Feed the cat", True), f"PUT answered {changed}")
    must(changed["updated_at"] > made["updated_at"], "PUT does not move updated_at")
    must(expect(200, "PATCH", f"{task}/complete", hers)["completed"] is False, "a toggle does not toggle")
    must(expect(200, "PATCH", f"{task}/complete", hers)["completed"] is True, "a second toggle does not toggle back")

    expired, unsigned = token(alice, algorithm, exp=int(time.time()) - 3600), token(alice, "none")
    forged = token(alice, algorithm, key_pair(algorithm, "not published") if algorithm in PUBLISHED else "x" * 42)
    refused = [None, "rubbish", hers[:-4] + "AAAA", expired, unsigned, forged]
    if algorithm in PUBLISHED:
        refused += [token(alice, algorithm, iss="http://elsewhere"), token(alice, algorithm, aud="http://elsewhere")]
    for bearer in refused:
        expect(401, "GET", task, bearer)
        expect(401, "POST", tasks, bearer, TASK)
    for method, path in (("GET", tasks), ("GET", task), ("DELETE", task), ("PATCH", f"{task}/complete")):
        expect(403, method, path, his)
    under_his_path = f"/api/{bob}/tasks/{made['id']}"
    for method, path, body in (
        ("GET", "", None), ("PUT", "", TASK), ("PATCH", "/complete", None), ("DELETE", "", None),
    ):  # fmt: skip
        expect(404, method, under_his_path + path, his, body)
    must(expect(200, "GET", task, hers)["title"] == "Feed the cat", "somebody else could change a task")
    expect(204, "DELETE", task, hers)
    expect(404, "GET", task, hers)
    must(server.log.read_text(errors="replace").count(task) >= 10, "requests leave no line in the log")


def check_noop(server: Server, data: Data) -> None:
    """The no-op view must stand behind the same authentication."""
    alice, bob = data.active_users[:2]
    for status, bearer in ((200, token(alice)), (401, None), (401, "rubbish"), (403, token(bob))):
        got, _, _ = ask(server, "GET", f"/api/{alice}/noop", bearer)
        if got != status:
            raise WrongAnswer(f"{server.system.title}: answered {got}, not {status}")
