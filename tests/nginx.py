"""The real nginx before the running service, with the very configuration that the deploy guide shows."""

import datetime
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPSConnection
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.live import Live
from tests.postgres import free_port
from tests.test_documents import blocks

NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
WHOLE = "location / { proxy_pass http://todo; }"
# What Debian's nginx.conf has besides, with every file in a folder of its own.
AROUND = """\
{user}
pid {folder}/pid;
error_log {folder}/error.log warn;
{main}
http {{
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {site}
}}
"""


@dataclass
class Nginx:
    """A running nginx: plain HTTP on one port, TLS on another."""

    folder: Path
    http: int
    https: int

    @property
    def log(self) -> str:
        return "".join(file.read_text() for file in sorted(self.folder.glob("*.log")))

    def connect_with_tls(self) -> HTTPSConnection:
        trusted = ssl.create_default_context(cafile=self.folder / "todo.pem")
        return HTTPSConnection("127.0.0.1", self.https, timeout=20, context=trusted)


def configuration(folder: Path, services: list[int], http: int, https: int, below: bool, errors: bool) -> str:
    """The guide's blocks with this run's ports and files; `below` a path, or with more services, as the guide has it."""
    main, site, prefixed = (block.text for block in blocks("docs/deploy.md") if block.info == "nginx")
    prefix, location = prefixed.split("\n", 1) if below else ('proxy_set_header SCRIPT_NAME "";', WHOLE)
    for shown, ours in {
        'proxy_set_header SCRIPT_NAME "";': prefix,
        WHOLE: location,
        "server 127.0.0.1:8000 max_fails=0;": " ".join(f"server 127.0.0.1:{port} max_fails=0;" for port in services),
        "listen 80;": f"listen 127.0.0.1:{http};",
        "listen 443 ssl;": f"listen 127.0.0.1:{https} ssl;",
        "/etc/ssl/todo.example.com.pem": str(folder / "todo.pem"),
        "/etc/ssl/todo.example.com.key": str(folder / "todo.key"),
        "/var/log/nginx/": f"{folder}/",
        **({"error_log /dev/null emerg;": ""} if errors else {}),
    }.items():
        assert site.count(shown) == 1, shown
        site = site.replace(shown, ours)
    # Started as root it would serve as somebody who may not enter this folder.
    return AROUND.format(folder=folder, main=main, site=site, user="user root;" if os.getuid() == 0 else "")


def write_certificate(folder: Path) -> None:
    """A certificate of its own signing for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "todo.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "todo.key").write_bytes(key.private_bytes(*form))


@contextmanager
def nginx(*services: Live, below: bool = False, errors: bool = False) -> Iterator[Nginx]:
    """nginx before these instances of the service; it is gone afterwards. With `errors` it also logs those."""
    assert NGINX is not None
    folder = Path(tempfile.mkdtemp(prefix="todo-nginx-"))
    running = Nginx(folder, free_port(), free_port())
    write_certificate(folder)
    ports = [int(one.variables["PORT"]) for one in services]
    text = configuration(folder, ports, running.http, running.https, below, errors)
    (folder / "nginx.conf").write_text(text)
    command = [NGINX, "-e", f"{folder}/error.log", "-p", str(folder), "-c", f"{folder}/nginx.conf", "-g", "daemon off;"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        ends = time.monotonic() + 10
        while not (folder / "pid").exists() or not (folder / "pid").read_text():
            assert process.poll() is None, (folder / "error.log").read_text()
            assert time.monotonic() < ends, "nginx did not start within 10 s"
            time.sleep(0.02)
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        shutil.rmtree(folder)
