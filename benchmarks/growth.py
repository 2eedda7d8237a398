"""How answers slow down as the table, one user's tasks and the page number grow."""

import random
import re
import socket
import time
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median
from urllib.parse import quote

from benchmarks import machine, systems
from benchmarks.bench import Bench
from benchmarks.better_auth import token
from benchmarks.check import check
from benchmarks.database import TASKS_OF_EACH, Data, user_name
from benchmarks.load import WrongAnswer
from benchmarks.report import Bar, Section, percentile

PAGES = (1, 10, 100, 1000)
LIMITS = (50, 100, 1000)  # The last is what a list has where no limit is given.
QUERIES = (
    *(f"ordering={order}" for order in ("created_at", "-created_at", "updated_at", "-updated_at", "title", "-title")),
    *(f"search={quote(word)}" for word in ("plumbers", "flat 13;", "no such words")),
)


class Client:
    """A connection that is kept, and that measures the time of each answer."""

    def __init__(self, server: systems.Server) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.tokens: dict[str, str] = {}

    def get(self, user: str, path: str) -> tuple[float, str]:
        """Milliseconds until the last byte, and the path of the next page, or nothing."""
        if user not in self.tokens:
            self.tokens[user] = token(user)
        bearer = self.tokens[user]
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {bearer}\r\n\r\n".encode()
        begin = time.perf_counter()
        self.socket.sendall(request)
        answer = self.socket.recv(2**18)
        while answer and not whole(answer):
            answer += self.socket.recv(2**18)
        spent = (time.perf_counter() - begin) * 1000
        if not answer.startswith(b"HTTP/1.1 200"):
            raise WrongAnswer(f"{path} answered {answer[:400]!r}")
        link = re.search(rb'<[^>]+?//[^/]+([^>]+)>; rel="next"', answer)
        return spent, link[1].decode() if link else ""


def whole(answer: bytes) -> bool:
    """Whether all that Content-Length announces has come."""
    head, end, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return bool(end) and len(body) >= int(length[1] if length else 0)


class Series:
    """Answer times by name, round by round; within a round the names took turns, request by request."""

    def __init__(self) -> None:
        self.rounds: list[dict[str, list[float]]] = []

    def measure(self, rounds: int, requests: int, ask: Mapping[str, Callable[[], tuple[float, str]]]) -> "Series":
        for _ in range(rounds):
            times: dict[str, list[float]] = {name: [] for name in ask}
            for _ in range(requests):
                for name, one in ask.items():
                    times[name].append(one()[0])
            self.rounds.append(times)
        return self

    def row(self, name: str, first: str | None = None) -> tuple[str, ...]:
        p50, p95 = (median(percentile(times[name], part) for times in self.rounds) for part in (0.5, 0.95))
        return name, f"{p50:.2f}", f"{p95:.2f}", f"{self.ratio(name, first):.2f}" if first else ""

    def ratio(self, name: str, first: str) -> float:
        return median(percentile(times[name], 0.95) / percentile(times[first], 0.95) for times in self.rounds)


def growth(bench: Bench, rounds: int, small: Data) -> Section:
    """Measure the data of `bench` against a small table, then one user's pages, orders and searches."""
    large = bench.data
    bench.cluster.load("small", small)
    for name in ("small", "loaded"):
        bench.cluster.warm(name)
    out = Section(
        "Growth",
        f"{large.size:,} tasks against {small.size:,}, of users and tasks taken at random; then one user with"
        f" {large.heavy:,} tasks among the {large.size:,}, pages of 50. The rows were read once before, so that they are in"
        f" memory. One connection, taking turns request by request, {rounds} rounds.",
        ("What", "p50 ms", "p95 ms", "p95 against the first"),
    )
    with bench.running(systems.PROJECT, "small") as near, bench.running(systems.PROJECT, "loaded") as far:
        check(near, small)
        check(far, large)
        machine.pin_to(machine.LOAD_CORE)()
        few, many = f"{small.size:,} tasks", f"{large.size:,} tasks"
        near_client, far_client = Client(near), Client(far)
        for workload in ("list", "read"):
            asks = {
                f"{workload}, {few}": partial(at_random, near_client, small, workload),
                f"{workload}, {many}": partial(at_random, far_client, large, workload),
            }
            series = Series().measure(rounds, 1000, asks)
            first, second = asks
            out.rows += [series.row(first), series.row(second, first)]
            out.bars.append(Bar(f"p95 of {second} against {few}", series.ratio(second, first), at_most=1.25))
        heavy_user(far_client, large.heavy_user, rounds, out)
    return out


def at_random(client: Client, data: Data, workload: str) -> tuple[float, str]:
    number = random.randrange(data.active) * data.stride
    path = f"/api/{user_name(number)}/tasks"
    task = number + 1 + random.randrange(TASKS_OF_EACH) * data.users
    return client.get(user_name(number), f"{path}?limit=50" if workload == "list" else f"{path}/{task}")


def heavy_user(client: Client, user: str, rounds: int, out: Section) -> None:
    """Add the rows and bars of one user's pages, orders and searches."""
    first = path = f"/api/{user}/tasks?limit=50"
    paths = {}
    for number in range(1, max(PAGES) + 1):
        if number in PAGES:
            paths[f"page {number:,}"] = path
        path = client.get(user, path)[1]
        if not path:
            raise WrongAnswer(f"Page {number} has no next one.")
    series = Series().measure(rounds, 200, {name: partial(client.get, user, path) for name, path in paths.items()})
    out.rows += [series.row(name, "page 1") for name in paths]
    out.bars += [
        Bar(f"p95 of {name} against the first", series.ratio(name, "page 1"), at_most=1.25)
        for name in paths
        if name != "page 1"
    ]
    asks = {f"limit={limit}": partial(client.get, user, f"/api/{user}/tasks?limit={limit}") for limit in LIMITS}
    series = Series().measure(rounds, 200, asks)
    out.rows += [series.row(name, "limit=50") for name in asks]
    asks = {query: partial(client.get, user, f"{first}&{query}") for query in QUERIES}
    series = Series().measure(1, 20, asks)  # Each takes half a second.
    out.rows += [series.row(query) for query in asks]
