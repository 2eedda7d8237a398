"""Read and check each environment variable, for settings.py, gunicorn.conf.py and `manage.py serve` alike.

A variable that is missing, or that could never work, raises ImproperlyConfigured with one line that names it and says
what to write. That line repeats no secret, and no address that may have a password in it.
"""

import os
import re
from contextlib import suppress
from importlib.util import find_spec
from io import StringIO
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, unquote_to_bytes, urlencode, urlsplit, urlunsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from dotenv import load_dotenv
from dotenv.parser import parse_stream
from jwt.algorithms import HMACAlgorithm
from jwt.exceptions import InvalidKeyError

BASE_DIR = Path(__file__).resolve().parent.parent

MINIMUM_SECRET_BYTES = 32
# Published defaults and the placeholders of tutorials. Whoever knows the secret can sign in as anybody.
WEAK_SECRETS = frozenset(
    {
        "better-auth-secret-12345678901234567890",
        "better-auth-secret-123456789012345678901234567890",
        "your-super-secret-key-change-in-production",
        "your-secret-key-at-least-32-characters-long",
        "change-me-change-me-change-me-change-me",
    }
)
# Names as DNS and browsers take them. Django takes a request's Host without the underscore only.
HOST_NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
DJANGO_HOST_NAME = re.compile(r"\.?[a-z0-9-]+(\.[a-z0-9-]+)*")
DEFAULT_PORTS = {"http": 80, "https": 443}


def load_env_file(path: Path) -> None:
    """Load a file of NAME=value lines, if it exists; variables that the environment already has keep their value."""
    try:
        text = path.read_text("utf-8-sig")  # Some editors put a mark before the first line.
    except FileNotFoundError:
        return
    except UnicodeDecodeError:
        text = "\0"
    except OSError as error:
        raise ImproperlyConfigured(
            f"{path.name} cannot be read ({error.strerror}): it must be a file of NAME=value lines."
        ) from None
    if "\0" in text:  # UTF-16 without a mark decodes, with a NUL beside each letter.
        raise ImproperlyConfigured(f"{path.name} is not UTF-8 text: save it as UTF-8.")
    for line in parse_stream(StringIO(text)):
        if line.error:
            raise ImproperlyConfigured(
                f"{path.name}, line {line.original.line}, must be NAME=value, in quotes at both ends or at none."
            )
    load_dotenv(stream=StringIO(text))


def env(name: str, default: str = "") -> str:
    """Return the variable without surrounding blanks; one that is set to nothing counts as not set."""
    value = os.environ.get(name, "").strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        raise ImproperlyConfigured(f"{name} has quotes around it that are part of the value: write it without them.")
    if re.search("[\ud800-\udfff]", value):  # Python's stand-ins for bytes that are not UTF-8.
        raise ImproperlyConfigured(f"{name} is not UTF-8: write it anew.")
    return value or default


def env_list(name: str) -> list[str]:
    """Return the items between the variable's commas, without the empty ones."""
    return [item.strip() for item in env(name).split(",") if item.strip()]


def env_choice(name: str, default: str, *others: str) -> str:
    """Return one of these words, in lower case."""
    value = env(name, default).lower()
    if value not in {default, *others}:
        *first, last = default, *others
        raise ImproperlyConfigured(f"{name} must be {', '.join(first)} or {last}, not {value!r}.")
    return value


def env_bool(name: str) -> bool:
    """Return whether the variable is true; one that is not set is false."""
    return env_choice(name, "false", "true") == "true"


def env_number(name: str, default: int, most: int, least: int = 1) -> int:
    """Return a whole number from `least` to `most`."""
    value = env(name, str(default))
    if not (re.fullmatch("[0-9]{1,9}", value) and least <= int(value) <= most):
        raise ImproperlyConfigured(f"{name} must be a whole number from {least} to {most}, not {value!r}.")
    return int(value)


def env_rate(name: str) -> str:
    """Return a number of requests per period, such as 600/minute."""
    value = env(name)
    if value and not re.fullmatch("0*[1-9][0-9]{0,8}/(second|minute|hour|day)", value):
        raise ImproperlyConfigured(f"{name} must look like 600/minute (second, minute, hour or day), not {value!r}.")
    return value


def env_redis(name: str) -> str:
    """Return the address of a Redis server; "" if none is set or the value is `memory://`.

    No message repeats the address, since it may hold a password, in its query or where an @ is missing too.
    """
    url = env(name, "memory://")
    if url == "memory://":
        return ""
    if find_spec("redis") is None:
        raise ImproperlyConfigured(f"{name} needs Redis's client, which is not installed: pip install redis")
    from redis import ConnectionPool, RedisError

    try:
        parts = urlsplit(url)
        if parts.scheme not in {"redis", "rediss"} or not re.fullmatch("/?[0-9]*", parts.path):
            raise ValueError(url)
        parse_host(parts.hostname or "")
        ConnectionPool.from_url(url).make_connection()  # Checks every option without connecting.
    except (ValueError, TypeError, RedisError):
        raise ImproperlyConfigured(
            f"{name} must look like redis://host:6379/0 or rediss://user:password@host:6379/0, with options that "
            "Redis's client knows."
        ) from None
    return url


# The first path segments of all other pages.
TAKEN_PATHS = frozenset({"api", "docs", "healthz", "login", "logout", "openapi.json", "readyz", "static"})


def env_path(name: str, default: str) -> str:
    """Return a path segment that no other page uses."""
    value = env(name, default)
    if not re.fullmatch("[A-Za-z0-9_-]+", value) or value in TAKEN_PATHS:
        raise ImproperlyConfigured(
            f"{name} must be one word of letters, digits, - and _ that no other page has, such as {default}, "
            f"not {shown(value)}."
        )
    return value


def shown(value: str) -> str:
    """Return the value for a message. A value with @ in it is not shown, because it may hold a password."""
    return "an address with @ in it" if "@" in value else repr(value)


# --- Where gunicorn listens -----------------------------------------------------------------------------------


class Server(NamedTuple):
    """Where gunicorn listens, and how many processes and threads it runs."""

    host: str
    port: int
    processes: int
    threads: int

    @property
    def bind(self) -> str:
        return bracketed(self.host) + f":{self.port}"


def env_server() -> Server:
    """Return how gunicorn serves. gunicorn itself reads WEB_CONCURRENCY first, and takes nothing but a number there."""
    return Server(
        env_listen_host("HOST", "0.0.0.0"),  # noqa: S104  # A container is reached from outside.
        env_number("PORT", 8000, 65535),
        env_number("WEB_CONCURRENCY", 2, 1000),
        env_number("GUNICORN_THREADS", 8, 1000),
    )


def env_listen_host(name: str, default: str) -> str:
    """Return an address or a host name to listen on; an IPv6 address has no brackets."""
    value = env(name, default).lower()
    try:
        return parse_host(value)
    except ValueError:
        raise ImproperlyConfigured(
            f"{name} must be an address of this machine, such as 127.0.0.1, 0.0.0.0, ::1 or ::, or its host name, "
            f"not {shown(value)}; the port belongs in PORT."
        ) from None


def parse_host(host: str) -> str:
    """Return a host name in lower case, or an address in its short form, without brackets.

    Raises:
        ValueError: it is neither.
    """
    host = host.lower()
    if ":" in host:
        return parse_ipv6(host)
    if host.rpartition(".")[2].isdecimal():
        return str(IPv4Address(host))
    if not HOST_NAME.fullmatch(host):
        raise ValueError(host)
    return host


def parse_ipv6(address: str) -> str:
    """Return an address, in brackets or not, in its short form.

    Raises:
        ValueError: it is not an IPv6 address, or it has a zone (`%eth0`), which no client sends as Host.
    """
    if "%" in address:
        raise ValueError(address)
    return str(IPv6Address(address.removeprefix("[").removesuffix("]")))


def bracketed(host: str) -> str:
    """Return the host as it is written before a port: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


# --- Host names and origins -----------------------------------------------------------------------------------


def env_allowed_hosts(name: str) -> list[str]:
    """Return at least one host name, each as Django compares it."""
    hosts = [allowed_host(name, value) for value in env_list(name)]
    if not hosts:
        raise ImproperlyConfigured(f"{name} is not set: the host names this service answers to, with commas between.")
    return hosts


def allowed_host(name: str, value: str) -> str:
    """Return the name as Django compares it with a request's Host: in lower case, an IPv6 address in brackets."""
    host = value.lower().removesuffix(".")
    if value == "*" or DJANGO_HOST_NAME.fullmatch(host):
        return host
    with suppress(ValueError):
        return f"[{parse_ipv6(host)}]"
    if host.startswith("*."):
        advice = f"write {host[1:]} for a domain with all its subdomains"
    elif "_" in host:
        advice = "Django answers to no name with an underscore, so give the service one with a hyphen"
    else:
        advice = "write letters, digits, hyphens and dots (xn--... for others), without scheme, port and path"
    raise ImproperlyConfigured(
        f"{name} must list host names such as todo.example.com, with commas between, not {shown(value)}: {advice}."
    )


def env_origins(name: str) -> list[str]:
    """Return origins of any scheme, each exactly as browsers send it."""
    origins = env_list(name)
    for value in origins:
        try:
            sent = origin(value)
        except ValueError:
            raise ImproperlyConfigured(
                f"{name} must list origins such as https://app.example.com or tauri://localhost, with commas between, "
                f"not {shown(value)}: each with its scheme, in ASCII (xn--...), and neither * nor null nor file://."
            ) from None
        if sent != value:
            raise ImproperlyConfigured(f"{name} must list origins as browsers send them: write {sent}.")
    return origins


def origin(url: str) -> str:
    """Return the origin of an address as browsers send it and as Better Auth writes `iss` and `aud`.

    That is scheme and host in lower case and a port that is not the scheme's own. Where the scheme is an app's or an
    extension's, the host is kept as it is.

    Raises:
        ValueError: no page has such an origin.
    """
    parts = urlsplit(url)
    if parts.port == 0:
        raise ValueError(url)
    if parts.scheme in DEFAULT_PORTS:
        host = bracketed(parse_host(parts.hostname or ""))
        return f"{parts.scheme}://{host}" + (
            f":{parts.port}" if parts.port not in {None, DEFAULT_PORTS[parts.scheme]} else ""
        )
    if parts.scheme in {"", "file", "ftp", "ws", "wss"} or not re.fullmatch(r"[A-Za-z0-9._-]+(:[0-9]+)?", parts.netloc):
        raise ValueError(url)
    return f"{parts.scheme}://{parts.netloc}"


# --- Tokens ---------------------------------------------------------------------------------------------------


def env_url(name: str) -> str:
    """Return an http or https address that keys can be fetched from."""
    value = env(name)
    try:
        parts = urlsplit(value)
        good = parts.scheme in DEFAULT_PORTS and origin(value) and re.fullmatch("[\x21-\x7e]+", value)
    except ValueError:  # A port that is no number, a bracket without its partner, a host that no name server knows.
        good = False
    if value and not (good and "@" not in parts.netloc):
        raise ImproperlyConfigured(
            f"{name} must be an http or https address such as https://app.example.com, in ASCII and without "
            f"a password, not {shown(value)}."
        )
    return value


def env_better_auth_url(name: str) -> str:
    """Return the origin of the address, with the path where Better Auth lives if it is given."""
    value = env_url(name)
    if not value:
        return ""
    path = urlsplit(value).path.rstrip("/")
    if "?" in value or "#" in value or path.endswith(("/jwks", "/jwks.json")):
        raise ImproperlyConfigured(
            f"{name} must be the frontend's address without ? and #, such as {origin(value)}; "
            "the address of its keys belongs in BETTER_AUTH_JWKS_URL."
        )
    return origin(value) + path


def better_auth_endpoint(url: str, name: str) -> str:
    """Return an endpoint's address: below the path of Better Auth's address, or /api/auth if there is none."""
    return f"{url if urlsplit(url).path else f'{url}/api/auth'}/{name}" if url else ""


def env_sign_in(name: str, better_auth_url: str, https: bool) -> str:
    """Return the address from which pages fetch a token with Better Auth's session; "" if this is not enabled."""
    if not env_bool(name):
        return ""
    if not better_auth_url:
        raise ImproperlyConfigured(f"{name} needs BETTER_AUTH_URL, the frontend's address on the same site.")
    if https and not better_auth_url.startswith("https://"):
        raise ImproperlyConfigured(
            f"{name} needs a BETTER_AUTH_URL that begins with https:// where DJANGO_HTTPS is true: "
            "to a browser http and https are two sites."
        )
    host = urlsplit(better_auth_url).hostname or ""
    if not re.fullmatch("[a-z0-9.-]+", host):
        raise ImproperlyConfigured(
            f"{name} needs a BETTER_AUTH_URL whose host has letters, digits, hyphens and dots alone, not {host!r}: "
            "no other can stand in a Content-Security-Policy."
        )
    return better_auth_endpoint(better_auth_url, "token")


def env_claim(name: str) -> str:
    """Return one issuer or audience, to be compared as it is: any text, or an address (RFC 7519, StringOrURI)."""
    value = env(name)
    if ":" in value and not re.fullmatch(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+;=%-]+", value):
        raise ImproperlyConfigured(
            f"{name} must be one issuer or audience exactly as the tokens carry it, such as https://app.example.com, "
            f"not {shown(value)}."
        )
    return value


def env_shared_secrets(versioned_name: str, plain_name: str) -> list[str]:
    """Return the secrets HS256 tokens may be signed with, the current one first.

    BETTER_AUTH_SECRETS ("2:new,1:old") overrides BETTER_AUTH_SECRET, as it does in Better Auth.
    """
    if env(versioned_name):
        secrets = []
        for entry in env_list(versioned_name) or [""]:
            version, colon, secret = entry.partition(":")
            if not (colon and version.strip().isdecimal()):
                raise ImproperlyConfigured(
                    f'{versioned_name} must look like "2:new,1:old": a number, a colon, a secret.'
                )
            secrets.append(refuse_public_key(versioned_name, refuse_guessable(versioned_name, secret.strip())))
        return secrets
    if env(plain_name):
        # Read without trimming: Better Auth does not trim it either, so blanks around it are part of the secret.
        return [refuse_public_key(plain_name, refuse_guessable(plain_name, os.environ[plain_name]))]
    return []


def env_secret(name: str) -> str:
    """Return a required secret of this service, without blanks around it."""
    if not env(name):
        raise ImproperlyConfigured(f"{name} is not set: openssl rand -base64 48")
    return refuse_guessable(name, env(name))


def env_former_secrets(name: str) -> list[str]:
    """Return the other secrets that are accepted while this service's own secret is rotated."""
    return [refuse_guessable(name, secret) for secret in env_list(name)]


def refuse_guessable(name: str, secret: str) -> str:
    """Return the secret if it is neither published nor easy to guess."""
    if len(secret.encode()) < MINIMUM_SECRET_BYTES:
        raise ImproperlyConfigured(f"{name} must have at least {MINIMUM_SECRET_BYTES} bytes: openssl rand -base64 32")
    if secret.strip().lower() in WEAK_SECRETS or len(set(secret)) < 8:
        raise ImproperlyConfigured(f"{name} is a well-known or trivial secret: openssl rand -base64 32")
    return secret


def refuse_public_key(name: str, secret: str) -> str:
    """Return the secret if it is not a public key or certificate, which everybody may have."""
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except InvalidKeyError:
        raise ImproperlyConfigured(f"{name} is a key or certificate, not a secret: openssl rand -base64 32") from None
    return secret


# --- The database ---------------------------------------------------------------------------------------------

# Django removes these options before it passes the rest to libpq.
DJANGO_OPTIONS = {"assume_role", "server_side_binding"}
WHOLE_NUMBER_OPTIONS = {
    "connect_timeout",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "tcp_user_timeout",
}


def env_database(name: str) -> dict[str, Any]:
    """Return Django's settings for the database at this address; no message repeats it, as it may hold a password."""
    url = env(name)
    if not url:
        raise ImproperlyConfigured(f"{name} is not set: postgresql://user:password@host/name, or sqlite:///db.sqlite3")
    scheme = re.match("[a-z][a-z0-9+.-]*(?=://)", url.lower())
    if scheme is None or scheme[0] not in {"postgresql", "postgres", "pgsql", "sqlite"}:
        named = f", not with {scheme[0]}://" if scheme else ""
        raise ImproperlyConfigured(
            f"{name} must begin with postgresql:// or sqlite:///{named}: this service runs on PostgreSQL or SQLite."
        )
    try:
        config: dict[str, Any] = {"OPTIONS": {}, **dj_database_url.parse(move_hosts(url))}
        if urlsplit(url).fragment or "\0" in unquote_to_bytes(url).decode():
            raise ValueError("A sign that is not percent-encoded, or no text.")
    except ValueError:
        raise ImproperlyConfigured(
            f"{name} must look like postgresql://user:password@host:5432/name. In user and password write @ as %40, "
            ": as %3A, / as %2F, ? as %3F, # as %23 and % as %25; several hosts are written a:5432,b:5432."
        ) from None
    # Each request checks its connection first, so connections can be kept open.
    config["CONN_MAX_AGE"] = None
    return sqlite_settings(name, config) if scheme[0] == "sqlite" else postgresql_settings(name, config, url)


def move_hosts(url: str) -> str:
    """Return the address with several hosts moved into its options: the parser does not know `user@a:5432,b:5432`.

    Raises:
        ValueError: one of them is not a host with an optional port.
    """
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    if "," not in hosts:
        return url
    pairs = [re.fullmatch("([^:]+)(?::([0-9]+))?", host) for host in hosts.split(",")]
    if not all(pairs) or "@" in parts.path:  # A slash in the password would turn part of it into a host.
        raise ValueError("This is not a list of hosts.")
    names, ports = zip(*(pair.groups("5432") for pair in pairs if pair), strict=True)
    options = urlencode({"host": ",".join(names), "port": ",".join(ports)})
    return urlunsplit(parts._replace(netloc=user + at, query=f"{parts.query}&{options}".removeprefix("&")))


def sqlite_settings(name: str, config: dict[str, Any]) -> dict[str, Any]:
    if config.get("HOST") or config["OPTIONS"] or config["NAME"] == ":memory:":
        raise ImproperlyConfigured(
            f"{name} must name a file alone after three slashes, sqlite:///db.sqlite3, or four for an absolute path: "
            "SQLite has no host, takes no options here, and in memory each thread would have a database of its own."
        )
    config["NAME"] = BASE_DIR / config["NAME"]  # An absolute name stays as it is.
    # WAL lets readers go on beside the writer. A transaction takes the write lock at its start, so that it
    # waits for its turn and never fails half way. What is deleted is overwritten, and does not stay in the file.
    config["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 5,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON",
    }
    return config


def postgresql_settings(name: str, config: dict[str, Any], url: str) -> dict[str, Any]:
    options: dict[str, Any] = config["OPTIONS"]
    if not (1 <= len(config["NAME"]) <= 63 or "service" in options):
        raise ImproperlyConfigured(
            f"{name} must name a database of 1 to 63 characters: postgresql://user:password@host/name"
        )
    if config["HOST"].startswith("/"):  # The parser lowercases it, but the path of a socket's folder is case-sensitive.
        config["HOST"] = unquote(urlsplit(url).netloc.rpartition("@")[2].partition(":")[0])
    refuse_wrong_options(name, options)
    config["ENGINE"] = "todo_project.postgresql"
    config["DISABLE_SERVER_SIDE_CURSORS"] = True  # A pooler in transaction mode does not carry them.
    config["OPTIONS"] = {
        "connect_timeout": 5,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        **options,
    }
    return config


def refuse_wrong_options(name: str, options: dict[str, Any]) -> None:
    """Refuse options that libpq would refuse, by asking libpq: otherwise every connection would fail later."""
    from psycopg import pq  # Where SQLite is used, libpq is not loaded.
    from psycopg.conninfo import make_conninfo

    for option in {"pool", "isolation_level"} & options.keys():
        raise ImproperlyConfigured(
            f"{name} must do without {option}: each thread keeps one connection, with PostgreSQL's own isolation level."
        )
    known = DJANGO_OPTIONS | {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    if unknown := sorted(options.keys() - known):
        raise ImproperlyConfigured(
            f"{name} must do without {', '.join(unknown)}: PostgreSQL's client library knows no such option."
        )
    for option, value in options.items():
        if isinstance(value, list):
            raise ImproperlyConfigured(f"{name} must have the option {option} only once.")
        if option in WHOLE_NUMBER_OPTIONS and type(value) is not int:
            raise ImproperlyConfigured(f"{name} must have a whole number for the option {option}.")
    # No socket can exist below /dev/null, so this fails at once, with a message about a bad option or about the socket.
    nowhere = {"host": "/dev/null", "hostaddr": "", "port": "5432", "user": "nobody"}
    values = {option: str(value) for option, value in options.items() if option not in DJANGO_OPTIONS}
    connection = pq.PGconn.connect_start(make_conninfo("", **values | nowhere).encode())
    verdict = connection.error_message.decode(errors="replace").partition("\n")[0]
    connection.finish()
    if verdict.startswith(("invalid ", "weak ")):
        raise ImproperlyConfigured(f"{name} must have other options: {verdict}.")


load_env_file(BASE_DIR / ".env")  # The environment wins over the file.
