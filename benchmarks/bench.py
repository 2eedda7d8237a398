"""What every measurement works with: a directory, a database server, the data and the load."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import database, machine, systems
from benchmarks.database import Cluster, Data, Files
from benchmarks.load import Load, write_users


@dataclass(frozen=True)
class Bench:
    workspace: Path
    cluster: Cluster | Files
    data: Data
    load: Load

    def running(self, system: systems.System, name: str, *options: str) -> AbstractContextManager[systems.Server]:
        """The system, running on the database of that name."""
        return systems.running(system, self.cluster.url(name), self.workspace, *options)

    @contextmanager
    def project(self, *options: str) -> Iterator[systems.Server]:
        """This project, running on a fresh clone of the data."""
        self.cluster.clone("loaded", "project")
        with self.running(systems.PROJECT, "project", *options) as server:
            yield server


@contextmanager
def prepared(data: Data, seconds: float, connections: int) -> Iterator[Bench]:
    """A started PostgreSQL with the data in the database `loaded`, from which others are cloned."""
    with machine.workspace() as workspace, database.cluster(workspace) as cluster:
        cluster.load("loaded", data)
        users = write_users(workspace / "users", data.active_users)
        yield Bench(workspace, cluster, data, Load(data, users, seconds, connections))
