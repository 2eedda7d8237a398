"""The one settings file. The environment is read here, and by gunicorn.conf.py for where to listen and how many.

A variable that is missing or makes no sense stops the start, by its name.
"""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from dotenv import load_dotenv
from jwt.algorithms import HMACAlgorithm
from jwt.exceptions import InvalidKeyError

BASE_DIR = Path(__file__).resolve().parent.parent
load_dotenv(BASE_DIR / ".env")  # The environment wins over the file.

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


def env(name: str, default: str = "") -> str:
    """The variable without surrounding blanks; one that is set to nothing counts as not set."""
    return os.environ.get(name, "").strip() or default


def env_bool(name: str) -> bool:
    value = env(name, "false").lower()
    if value not in {"true", "false"}:
        raise ImproperlyConfigured(f"{name} must be true or false, not {value!r}.")
    return value == "true"


def env_list(name: str) -> list[str]:
    return [item.strip() for item in env(name).split(",") if item.strip()]


def env_url(name: str, default: str = "") -> str:
    value = env(name, default)
    if value and not is_address(value):
        raise ImproperlyConfigured(f"{name} must be an http or https address, not {value!r}.")
    return value


def is_address(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # A port that is no number, a bracket without its partner.
        return False


def strong(name: str, secret: str) -> str:
    """The secret, if it is no published one and hard to guess."""
    if len(secret.encode()) < MINIMUM_SECRET_BYTES:
        raise ImproperlyConfigured(f"{name} must have at least {MINIMUM_SECRET_BYTES} bytes: openssl rand -base64 32")
    if secret.strip().lower() in WEAK_SECRETS or len(set(secret)) < 8:
        raise ImproperlyConfigured(f"{name} is a well-known or trivial secret: openssl rand -base64 32")
    return secret


for _name in ("PORT", "WEB_CONCURRENCY", "GUNICORN_THREADS"):  # gunicorn.conf.py reads them.
    if not (env(_name, "1").isdecimal() and 0 < int(env(_name, "1")) < 65536):
        raise ImproperlyConfigured(f"{_name} must be a whole number from 1 to 65535, not {env(_name)!r}.")

# --- Tokens ---------------------------------------------------------------------------------------------------


def shared_secrets() -> list[str]:
    """The secrets HS256 tokens may be signed with, the current one first.

    BETTER_AUTH_SECRETS ("2:new,1:old") overrides BETTER_AUTH_SECRET, as it does in Better Auth.
    """
    if env("BETTER_AUTH_SECRETS"):
        secrets = []
        for entry in env_list("BETTER_AUTH_SECRETS") or [""]:
            version, colon, secret = entry.partition(":")
            if not (colon and version.strip().isdecimal()):
                raise ImproperlyConfigured(
                    'BETTER_AUTH_SECRETS must look like "2:new,1:old": a number, a colon, a secret.'
                )
            secrets.append(no_key("BETTER_AUTH_SECRETS", strong("BETTER_AUTH_SECRETS", secret.strip())))
        return secrets
    if env("BETTER_AUTH_SECRET"):
        # Better Auth does not trim it either.
        return [no_key("BETTER_AUTH_SECRET", strong("BETTER_AUTH_SECRET", os.environ["BETTER_AUTH_SECRET"]))]
    return []


def no_key(name: str, secret: str) -> str:
    """The secret, if it is no public key or certificate, which everybody may have."""
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except InvalidKeyError:
        raise ImproperlyConfigured(f"{name} is a key or certificate, not a secret: openssl rand -base64 32") from None
    return secret


def origin(url: str) -> str:
    """Scheme, host in lower case, and a port that is not the scheme's own: what Better Auth writes as iss and aud."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    default = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port not in {None, default} else "")


BETTER_AUTH_SECRETS = shared_secrets()
BETTER_AUTH_URL = env_url("BETTER_AUTH_URL").rstrip("/")
_origin = origin(BETTER_AUTH_URL) if BETTER_AUTH_URL else ""
# A path in its address is where Better Auth lives; without one that is /api/auth.
_base = f"{_origin}{urlsplit(BETTER_AUTH_URL).path or '/api/auth'}" if BETTER_AUTH_URL else ""
# Where these two were set by their own names they bind every token; from BETTER_AUTH_URL, asymmetric ones only.
BETTER_AUTH_ISSUER = env("BETTER_AUTH_ISSUER")
BETTER_AUTH_AUDIENCE = env("BETTER_AUTH_AUDIENCE")
BETTER_AUTH_JWKS_ISSUER = BETTER_AUTH_ISSUER or _origin
BETTER_AUTH_JWKS_AUDIENCE = BETTER_AUTH_AUDIENCE or _origin
BETTER_AUTH_JWKS_URL = env_url("BETTER_AUTH_JWKS_URL", f"{_base}/jwks" if _base else "")

if not BETTER_AUTH_SECRETS and not BETTER_AUTH_JWKS_URL:
    raise ImproperlyConfigured(
        "No way to verify a token: set BETTER_AUTH_SECRET (the frontend's) or BETTER_AUTH_URL (its address)."
    )

# --- Django ---------------------------------------------------------------------------------------------------

if not env("DJANGO_SECRET_KEY"):
    raise ImproperlyConfigured("DJANGO_SECRET_KEY is not set: openssl rand -base64 48")
SECRET_KEY = strong("DJANGO_SECRET_KEY", env("DJANGO_SECRET_KEY"))
HTTPS = env_bool("DJANGO_HTTPS")
ALLOWED_HOSTS = env_list("DJANGO_ALLOWED_HOSTS")
if not ALLOWED_HOSTS:
    raise ImproperlyConfigured(
        "DJANGO_ALLOWED_HOSTS is not set: the host names this service answers to, with commas between."
    )

INSTALLED_APPS = [
    "todo_project",
    "tasks",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "corsheaders",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]

MIDDLEWARE = [
    "todo_project.middleware.RequestMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "todo_project.middleware.CORSMiddleware",
    "todo_project.middleware.ProblemMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "todo_project.middleware.AdminSessionMiddleware",
    "todo_project.middleware.AdminAuthenticationMiddleware",
    "todo_project.middleware.AdminMessageMiddleware",
]

ROOT_URLCONF = "todo_project.urls"
WSGI_APPLICATION = "todo_project.wsgi.application"
APPEND_SLASH = False  # A redirect would lose the body of a POST.
TIME_ZONE = "UTC"
USE_I18N = False  # One language: error details are part of the contract.
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- Database -------------------------------------------------------------------------------------------------


PREPARED_STATEMENTS = env("PREPARED_STATEMENTS", "auto")
if PREPARED_STATEMENTS not in {"auto", "on", "off"}:
    raise ImproperlyConfigured(f"PREPARED_STATEMENTS must be auto, on or off, not {PREPARED_STATEMENTS!r}.")
STATEMENTS_BY_CURSOR = env_bool("STATEMENTS_BY_CURSOR")
if not (env("DATABASE_TIMEOUT", "10").isdecimal() and 1 <= int(env("DATABASE_TIMEOUT", "10")) <= 60):
    raise ImproperlyConfigured(f"DATABASE_TIMEOUT must be 1 to 60 seconds, not {env('DATABASE_TIMEOUT')!r}.")
DATABASE_TIMEOUT = int(env("DATABASE_TIMEOUT", "10"))


def database() -> dict[str, Any]:
    if not env("DATABASE_URL"):
        raise ImproperlyConfigured(
            "DATABASE_URL is not set: postgresql://user:password@host/name, or sqlite:///db.sqlite3"
        )
    try:
        config: dict[str, Any] = {**dj_database_url.parse(env("DATABASE_URL"))}
    except (ValueError, dj_database_url.ParseError):
        # The address holds a password, so it is not repeated here.
        raise ImproperlyConfigured("DATABASE_URL is no database address Django understands.") from None
    # A connection is looked at before each request, so that it may be kept.
    config["CONN_MAX_AGE"] = None
    options: dict = config.setdefault("OPTIONS", {})
    if config["ENGINE"] == "django.db.backends.sqlite3":
        config["NAME"] = BASE_DIR / config["NAME"]  # An absolute name stays as it is.
        # WAL lets readers go on beside the writer. A transaction takes the write lock at its start, so that it
        # waits for its turn and never fails half way.
        options.update(
            transaction_mode="IMMEDIATE", timeout=5, init_command="PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL"
        )
    elif config["ENGINE"] == "django.db.backends.postgresql":
        config["ENGINE"] = "todo_project.postgresql"
        config["DISABLE_SERVER_SIDE_CURSORS"] = True  # A pooler in transaction mode does not carry them.
        options["prepared_statements"] = PREPARED_STATEMENTS
        options["by_cursor"] = STATEMENTS_BY_CURSOR
        for option, value in {
            "connect_timeout": 5,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": DATABASE_TIMEOUT * 1000,
        }.items():
            options.setdefault(option, value)
    else:
        raise ImproperlyConfigured("DATABASE_URL must name PostgreSQL or SQLite.")
    return config


DATABASES = {"default": database()}

# --- The API --------------------------------------------------------------------------------------------------

MAX_BODY_BYTES = 256 * 1024
MAX_DRAINED_BYTES = 4 * 1024 * 1024  # Read to the end, so that the client sees that it was too much.
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY_BYTES

# Where THROTTLE_RATE counts: in each process, for so many users.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "OPTIONS": {"MAX_ENTRIES": 100_000}}}
THROTTLE_RATE = env("THROTTLE_RATE")
if THROTTLE_RATE:
    _number, _, _period = THROTTLE_RATE.partition("/")
    if not (_number.isdecimal() and int(_number) and _period in {"second", "minute", "hour", "day"}):
        raise ImproperlyConfigured("THROTTLE_RATE must look like 600/minute (second, minute, hour or day).")

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "todo_project.authentication.BetterAuthAuthentication",
        "todo_project.authentication.SignInCookieAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["tasks.permissions.IsPathOwner"],
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.UserRateThrottle"] if THROTTLE_RATE else [],
    "DEFAULT_THROTTLE_RATES": {"user": THROTTLE_RATE},
    "DEFAULT_RENDERER_CLASSES": [
        "todo_project.renderers.JSONRenderer",
        "tasks.pages.PageRenderer",
    ],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "todo_project.renderers.Negotiation",
    "DEFAULT_PARSER_CLASSES": ["todo_project.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "todo_project.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Todo API",
    "VERSION": "1.0.0",
    "DESCRIPTION": (
        "Each person's tasks, and nobody else's. Send the token your Better Auth frontend gets as "
        "`Authorization: Bearer ...`. Every error is an RFC 9457 problem with a stable `code`."
    ),
    "LICENSE": {"name": "MIT"},
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "APPEND_COMPONENTS": {
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
    },
}

CORS_ALLOWED_ORIGINS = env_list("CORS_ALLOWED_ORIGINS")
for _allowed in CORS_ALLOWED_ORIGINS:
    if not (is_address(_allowed) and _allowed == "{0.scheme}://{0.netloc}".format(urlsplit(_allowed))):
        raise ImproperlyConfigured(
            f"CORS_ALLOWED_ORIGINS takes origins such as https://app.example.com, not {_allowed!r}."
        )
CORS_URLS_REGEX = r"^/api/"
CORS_ALLOW_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
CORS_ALLOW_HEADERS = ["authorization", "content-type", "if-match", "if-none-match", "idempotency-key", "x-request-id"]
CORS_EXPOSE_HEADERS = ["ETag", "Link", "Location", "Content-Location", "Retry-After", "X-Request-ID"]

# --- Pages: the browsable API, the admin, the documentation ----------------------------------------------------

STATIC_URL = "/static/"
# Assets are served from the packages that bring them: no build step stands between install and start.
WHITENOISE_USE_FINDERS = True

LOGIN_URL = "/login"
# The admin's sign-in lives under its own path and in the database, so that signing out ends it.
SESSION_COOKIE_PATH = "/admin/"
# Names of our own: another Django on the same host has cookies by the usual ones, which reach this service too.
SESSION_COOKIE_NAME = "todo_session"
CSRF_COOKIE_NAME = "todo_csrf"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"  # Has no cookie.
SESSION_COOKIE_AGE = 8 * 3600
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
CSRF_FAILURE_VIEW = "todo_project.problems.csrf_failure"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# --- TLS ends at a proxy --------------------------------------------------------------------------------------

# The proxy's word decides the scheme of the links in answers, and whether to redirect. A client that forges it
# changes its own answers only.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
# Whether subdomains may be bound and the name put on browsers' preload list is the operator's to decide.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

# --- Logging: one line a request, without tokens, titles or search words ----------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "todo_project.logging.LineFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        # The request line says it already.
        "django.request": {"level": "ERROR"},
        "django.security": {"level": "ERROR"},
        "django.server": {"handlers": ["stderr"], "propagate": False},
    },
}
