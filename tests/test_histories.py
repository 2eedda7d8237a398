"""The service is linearizable for each task, whatever concurrent clients do.

Clients call all six operations on a few tasks at the same time, with conditions and keys. For each task there must be
an order of the operations that explains every response and respects real time: an operation comes after those that had
ended when it began. The search for such an order is Wing and Gong's algorithm.
"""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from itertools import pairwise
from typing import Any, NamedTuple

import pytest

from tests.live import User, live

CLIENTS = 6
OPERATIONS = 80  # Of each client.
KEYS = ("a", "b", "c")


class Task(NamedTuple):
    id: int
    title: str
    description: str | None
    completed: bool
    user_id: str
    created_at: str
    updated_at: str

    @property
    def tag(self) -> str:
        return '"' + "".join(filter(str.isdigit, self.updated_at)) + '"'


class State(NamedTuple):
    """The task that holds a key, and the title with which it was created."""

    task: Task
    created_as: str


@dataclass(frozen=True)
class Operation:
    """One request of a client and its response, with their times, for the task that was created with one key."""

    name: str
    start: float
    end: float
    status: int
    task: Task | None = None  # In the answer.
    task_id: int = 0
    sent: dict[str, Any] = field(default_factory=dict)
    condition: str | None = None
    listed: tuple[Task, ...] = ()


IMPOSSIBLE = State(Task(0, "", None, False, "", "", ""), "impossible")


def step(state: State | None, done: Operation) -> State | None:
    """The state after an operation, or IMPOSSIBLE if in this state it is answered otherwise."""
    status, answered = done.status, done.task
    if done.name == "create":
        if state is None:
            as_sent = answered is not None and answered.title == done.sent["title"]
            return State(answered, answered.title) if answered and as_sent and status == 201 else IMPOSSIBLE
        expected = (201, state.task) if state.created_as == done.sent["title"] else (422, None)
        return state if (status, answered) == expected else IMPOSSIBLE
    if done.name == "list":
        return state if answered == (state and state.task) else IMPOSSIBLE
    if state is None or state.task.id != done.task_id:
        return state if status == 404 else IMPOSSIBLE
    task = state.task
    if done.name == "see tag":  # In an answer that refused a write.
        return state if done.condition == task.tag else IMPOSSIBLE
    if done.name == "read":
        expected = (304, None) if done.condition == task.tag else (200, task)
        return state if (status, answered) == expected else IMPOSSIBLE
    if done.condition not in {None, task.tag}:
        return state if status == 412 else IMPOSSIBLE
    if done.name == "delete":
        return None if status == 204 else IMPOSSIBLE
    sent = done.sent or {"completed": not task.completed}
    if status != 200 or answered is None or answered.updated_at <= task.updated_at:
        return IMPOSSIBLE
    as_sent = answered == task._replace(**sent, updated_at=answered.updated_at)
    return State(answered, state.created_as) if as_sent else IMPOSSIBLE


def explained(history: list[Operation]) -> bool:
    """Whether an order of these operations that keeps to the clock explains every answer."""
    tried: set[tuple[frozenset[int], State | None]] = set()

    def search(remaining: frozenset[int], state: State | None) -> bool:
        if not remaining:
            return True
        if (remaining, state) in tried:
            return False
        tried.add((remaining, state))
        first_end = min(history[number].end for number in remaining)
        for number in sorted(remaining):
            if history[number].start <= first_end:
                after = step(state, history[number])
                if after is not IMPOSSIBLE and search(remaining - {number}, after):
                    return True
        return False

    return search(frozenset(range(len(history))), None)


# --- Clients ----------------------------------------------------------------------------------------------------------


@dataclass
class Clients:
    """Many clients of one user, and what they were answered."""

    user: User
    histories: dict[str, list[Operation]] = field(default_factory=lambda: {key: [] for key in KEYS})
    lists: list[Operation] = field(default_factory=list)
    latest: dict[str, Task] = field(default_factory=dict)

    def run(self) -> None:
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(self.work, range(CLIENTS)))
        self.list(None)  # What is there at the end is what the histories lead to.
        # Every task was some create's answer, so only now is it known which key each listed task holds.
        for history in self.histories.values():
            ids = {done.task.id for done in history if done.name == "create" and done.task}
            for done in self.lists:
                held = [task for task in done.listed if task.id in ids]
                assert len(held) <= 1
                history.append(replace(done, task=held[0] if held else None, listed=()))

    def work(self, seed: int) -> None:
        choose = random.Random(seed)
        with closing(self.user.live.connect()) as connection:
            for number in range(OPERATIONS):
                self.do(choose, connection, f"{seed}-{number}")

    def do(self, choose: random.Random, connection: HTTPConnection, text: str) -> None:
        key = choose.choice(KEYS)
        task = self.latest.get(key)
        names = ["create", "list", "read", "put", "flip", "set", "delete"]
        name = choose.choices(names, [2, 2, 4, 4, 4, 2, 1])[0]
        if name == "list":
            self.list(connection)
        elif name == "create" or task is None:
            sent = {"title": choose.choice(["first", "second"])}
            self.send(connection, key, "create", "POST", self.user.tasks, sent, Idempotency_Key=key)
        else:
            method, suffix, body = {
                "read": ("GET", "", None),
                "put": ("PUT", "", {"title": text, **choose.choice([{}, {"description": text}, {"completed": True}])}),
                "flip": ("PATCH", "/complete", None),
                "set": ("PATCH", "/complete", {"completed": choose.choice([True, False])}),
                "delete": ("DELETE", "", None),
            }[name]
            header = {"If_None_Match" if name == "read" else "If_Match": task.tag} if choose.random() < 0.5 else {}
            self.send(connection, key, name, method, f"{self.user.tasks}/{task.id}{suffix}", body, task.id, **header)

    def send(
        self,
        connection: HTTPConnection,
        key: str,
        name: str,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        task_id: int = 0,
        **headers: str,
    ) -> None:
        start = time.monotonic()
        answer = self.user.request(method, path, body, connection=connection, **headers)
        end = time.monotonic()
        assert answer.status in {200, 201, 204, 304, 404, 412, 422}, answer.body
        task = None
        if answer.status in {200, 201}:
            task = self.latest[key] = Task(**answer.json())
            assert answer.headers["ETag"] == task.tag
        condition = headers.get("If_Match", headers.get("If_None_Match"))
        self.histories[key].append(Operation(name, start, end, answer.status, task, task_id, body or {}, condition))
        if answer.status == 412:
            tag = answer.headers["ETag"]
            self.histories[key].append(Operation("see tag", start, end, 200, None, task_id, {}, tag))

    def list(self, connection: HTTPConnection | None) -> None:
        start = time.monotonic()
        answer = self.user.request("GET", self.user.tasks, connection=connection)
        listed = tuple(Task(**task) for task in answer.json())
        self.lists.append(Operation("list", start, time.monotonic(), answer.status, listed=listed))


@pytest.mark.promise("P-117")
@pytest.mark.parametrize("round_", range(2))
def test_every_answer_fits_an_order_of_each_tasks_operations(user: User, round_: int) -> None:
    clients = Clients(user)
    clients.run()
    done = [operation for history in clients.histories.values() for operation in history]
    # There was something to find: every operation and refusal, and operations at the same moment.
    assert {one.name for one in done} == {"create", "list", "read", "put", "flip", "set", "delete", "see tag"}
    assert {one.status for one in done} == {200, 201, 204, 304, 404, 412, 422}
    assert sum(one.start < other.start < one.end for one, other in pairwise(sorted(done, key=by_start))) > 50
    for key, history in clients.histories.items():
        assert explained(history), key
        # The same history in which one read was answered with what was long gone.
        reads = [one for one in history if one.name == "list" and one.task]
        if len({one.task for one in reads}) > 1:
            stale = replace(max(reads, key=by_start), task=min(reads, key=by_start).task)
            assert not explained([*(one for one in history if one.start != stale.start), stale]), key


def by_start(operation: Operation) -> float:
    return operation.start


def test_a_service_that_reads_and_then_writes_is_found_out() -> None:
    with live("tests.lossy:application") as running:
        clients = Clients(User(running))
        clients.run()
    assert not all(explained(history) for history in clients.histories.values())


# --- The checker can fail ---------------------------------------------------------------------------------------------


def at(number: int) -> str:
    return f"2026-01-01T00:00:00.{number:06}Z"


def state(number: int, title: str = "first", *, completed: bool = False, task_id: int = 1) -> Task:
    return Task(task_id, title, None, completed, "alice", at(0), at(number))


CREATED = Operation("create", 0, 1, 201, state(0), sent={"title": "first"})
TAG = state(0).tag


def put(start: float, end: float, number: int, title: str, condition: str | None = None) -> Operation:
    return Operation("put", start, end, 200, state(number, title), 1, {"title": title}, condition)


def read(start: float, end: float, task: Task | None) -> Operation:
    return Operation("read", start, end, 200 if task else 404, task, 1)


def flip(start: float, end: float, number: int, completed: bool) -> Operation:
    return Operation("flip", start, end, 200, state(number, completed=completed), 1)


REFUSED = {
    "of two writes with one tag both won": [put(2, 4, 1, "x", TAG), put(3, 5, 2, "y", TAG)],
    "a write was lost": [put(2, 3, 1, "x"), put(4, 5, 2, "y"), read(6, 7, state(1, "x"))],
    "a read was stale": [put(2, 3, 1, "x"), read(4, 5, state(0))],
    "two reads saw a write and then not": [put(2, 9, 1, "x"), read(3, 4, state(1, "x")), read(5, 6, state(0))],
    "of two flips one counted": [flip(2, 4, 1, True), flip(3, 5, 2, True)],
    "a flip was undone by a write": [flip(2, 3, 1, True), put(2, 4, 2, "x"), read(5, 6, state(2, "x"))],
    "a tag stood for two states": [put(2, 3, 0, "x")],
    "a condition that held was refused": [Operation("put", 2, 3, 412, None, 1, {"title": "x"}, TAG)],
    "a deleted task was seen": [Operation("delete", 2, 3, 204, None, 1), read(4, 5, state(0))],
    "a task was gone": [read(2, 3, None)],
    "a list missed a task": [Operation("list", 2, 3, 200)],
    "one key made two tasks": [Operation("create", 0, 1, 201, state(0, task_id=2), sent={"title": "first"})],
    "a key was taken for other values": [Operation("create", 2, 3, 201, state(0), sent={"title": "second"})],
    "a task had not changed and it had": [put(2, 3, 1, "x"), Operation("read", 4, 5, 304, None, 1, {}, TAG)],
}
EXPLAINED = {
    "of two writes with one tag the second lost": [
        put(2, 4, 1, "x", TAG), Operation("put", 3, 5, 412, None, 1, {"title": "y"}, TAG)
    ],
    "a read beside a write sees either": [put(2, 9, 1, "x"), read(3, 4, state(0)), read(5, 6, state(1, "x"))],
    "two flips beside each other": [flip(2, 5, 2, False), flip(3, 4, 1, True), read(6, 7, state(2))],
    "a key of a deleted task makes another": [
        Operation("delete", 2, 3, 204, None, 1),
        Operation("create", 4, 5, 201, state(4, task_id=2), sent={"title": "first"}),
        read(6, 7, None),
    ],
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_a_history_with_a_fault_is_refused(fault: str) -> None:
    assert not explained([CREATED, *REFUSED[fault]])


@pytest.mark.parametrize("case", EXPLAINED)
def test_a_history_without_one_is_explained(case: str) -> None:
    assert explained([CREATED, *EXPLAINED[case]])
