"""Django's settings. environment.py reads and checks the variables that they come from.

A variable that is missing, or that could never work, stops the start with a message that names it.
"""

from datetime import timedelta

from django.core.exceptions import ImproperlyConfigured

from todo_project.environment import (
    better_auth_endpoint,
    env_allowed_hosts,
    env_better_auth_url,
    env_bool,
    env_choice,
    env_claim,
    env_database,
    env_former_secrets,
    env_number,
    env_origins,
    env_path,
    env_rate,
    env_redis,
    env_secret,
    env_server,
    env_shared_secrets,
    env_sign_in,
    env_url,
    origin,
)

SERVER = env_server()  # For gunicorn.conf.py.

# --- Tokens ---------------------------------------------------------------------------------------------------

BETTER_AUTH_SECRETS = env_shared_secrets("BETTER_AUTH_SECRETS", "BETTER_AUTH_SECRET")
BETTER_AUTH_URL = env_better_auth_url("BETTER_AUTH_URL")
# Set by their own names, issuer and audience are required of every token; derived from BETTER_AUTH_URL, only of
# asymmetric ones.
BETTER_AUTH_ISSUER = env_claim("BETTER_AUTH_ISSUER")
BETTER_AUTH_AUDIENCE = env_claim("BETTER_AUTH_AUDIENCE")
BETTER_AUTH_JWKS_ISSUER = BETTER_AUTH_ISSUER or (BETTER_AUTH_URL and origin(BETTER_AUTH_URL))
BETTER_AUTH_JWKS_AUDIENCE = BETTER_AUTH_AUDIENCE or (BETTER_AUTH_URL and origin(BETTER_AUTH_URL))
BETTER_AUTH_JWKS_URL = env_url("BETTER_AUTH_JWKS_URL") or better_auth_endpoint(BETTER_AUTH_URL, "jwks")

if not BETTER_AUTH_SECRETS and not BETTER_AUTH_JWKS_URL:
    raise ImproperlyConfigured(
        "No way to verify a token: set BETTER_AUTH_SECRET (the frontend's) or BETTER_AUTH_URL (its address)."
    )

# --- Django ---------------------------------------------------------------------------------------------------

SECRET_KEY = env_secret("DJANGO_SECRET_KEY")
SECRET_KEY_FALLBACKS = env_former_secrets("DJANGO_SECRET_KEY_FALLBACKS")
HTTPS = env_bool("DJANGO_HTTPS")
ALLOWED_HOSTS = env_allowed_hosts("DJANGO_ALLOWED_HOSTS")
ADMIN_PATH = env_path("ADMIN_PATH", "admin")
# How many proxies in front append to X-Forwarded-For. With 0 the header is ignored.
TRUSTED_PROXIES = env_number("TRUSTED_PROXIES", 0, 10, least=0)

INSTALLED_APPS = [
    "todo_project",
    "tasks",
    "todo_project.admin.OperatorsConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "axes",
    "corsheaders",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]

MIDDLEWARE = [
    "todo_project.middleware.RequestMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "todo_project.middleware.CORSMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "todo_project.middleware.ProblemMiddleware",
    "todo_project.static.StaticFilesMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "todo_project.middleware.AdminMiddleware",
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

DATABASES = {"default": env_database("DATABASE_URL")}
PREPARED_STATEMENTS = env_choice("PREPARED_STATEMENTS", "auto", "on", "off")
# How many seconds a request waits for PostgreSQL's answer. A proxy in front usually gives up after 60, and its client
# would not see why.
DATABASE_TIMEOUT = env_number("DATABASE_TIMEOUT", 9, 60)
# Whether every statement goes through Django's cursor, where Sentry, OpenTelemetry and the debug toolbar listen.
STATEMENTS_BY_CURSOR = env_bool("STATEMENTS_BY_CURSOR")
if DATABASES["default"]["ENGINE"] == "todo_project.postgresql":
    DATABASES["default"]["OPTIONS"] = {
        "tcp_user_timeout": DATABASE_TIMEOUT * 1000,  # For packets that the network drops.
        **DATABASES["default"]["OPTIONS"],
        "prepared_statements": PREPARED_STATEMENTS,
        "by_cursor": STATEMENTS_BY_CURSOR,
    }

# --- The API --------------------------------------------------------------------------------------------------

MAX_BODY_BYTES = 256 * 1024
MAX_DRAINED_BYTES = 4 * 1024 * 1024  # Read to the end, so that the client sees why it was refused.
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY_BYTES

THROTTLE_RATE = env_rate("THROTTLE_RATE")
THROTTLE_STORAGE = env_redis("THROTTLE_STORAGE")  # If it is empty, each process counts for itself.
if THROTTLE_RATE:
    MIDDLEWARE.insert(
        MIDDLEWARE.index("todo_project.middleware.ProblemMiddleware") + 1, "todo_project.throttling.FairUseMiddleware"
    )

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "todo_project.authentication.BetterAuthAuthentication",
        "todo_project.authentication.SignInCookieAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["tasks.permissions.IsPathOwner"],
    "DEFAULT_THROTTLE_CLASSES": ["todo_project.throttling.UserThrottle"] if THROTTLE_RATE else [],
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

CORS_ALLOWED_ORIGINS = env_origins("CORS_ALLOWED_ORIGINS")
# CORS covers unknown addresses too, so that a browser shows their 404 and not "Failed to fetch".
CORS_URLS_REGEX = rf"/(?!{ADMIN_PATH}(/|\Z)|login\Z|logout\Z)"
CORS_ALLOW_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
CORS_ALLOW_HEADERS = ["authorization", "content-type", "if-match", "if-none-match", "idempotency-key", "x-request-id"]
CORS_EXPOSE_HEADERS = ["ETag", "Link", "Location", "Content-Location", "Retry-After", "X-Request-ID"]
if THROTTLE_RATE:
    CORS_EXPOSE_HEADERS += ["RateLimit", "RateLimit-Policy"]

# --- Pages: the browsable API, the admin, the documentation ----------------------------------------------------

STATIC_URL = "/static/"
STORAGES = {"staticfiles": {"BACKEND": "todo_project.static.StaticFiles"}}
# Assets are served from the packages that bring them: no build step stands between install and start.
WHITENOISE_USE_FINDERS = True
WHITENOISE_ALLOW_ALL_ORIGINS = False

# Where /login fetches a token with Better Auth's session; "" unless BETTER_AUTH_SIGN_IN is true.
BETTER_AUTH_TOKEN_URL = env_sign_in("BETTER_AUTH_SIGN_IN", BETTER_AUTH_URL, HTTPS)
# For every page: it loads only the project's own files, and runs no inline scripts.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    f"connect-src 'self'{BETTER_AUTH_TOKEN_URL and f' {origin(BETTER_AUTH_TOKEN_URL)}'}; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

# The admin's sign-in lives under its own path and in the database, so that signing out ends it.
SESSION_COOKIE_PATH = f"/{ADMIN_PATH}/"
# Not Django's default names: the cookies of another Django on the same host would reach this service too.
SESSION_COOKIE_NAME = "todo_session"
CSRF_COOKIE_NAME = "todo_csrf"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"  # Needs no cookie of its own.
# An operator's session ends after an hour without a request, and at the latest after a working day.
SESSION_COOKIE_AGE = 3600
SESSION_SAVE_EVERY_REQUEST = True
SESSION_MOST_SECONDS = 8 * 3600
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
CSRF_FAILURE_VIEW = "todo_project.problems.csrf_failure"

# Five wrong passwords for one name from one address lock that name for that address; the operator can still sign in
# from other addresses. The database counts them, so locks hold in every process and after a restart.
AUTHENTICATION_BACKENDS = ["todo_project.middleware.LockoutBackend", "django.contrib.auth.backends.ModelBackend"]
LOGIN_REDIRECT_URL = "admin:index"  # Where the admin's sign-in leads if its `next` is on another site.
AXES_HANDLER = "todo_project.middleware.LockoutHandler"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_CLIENT_IP_CALLABLE = "todo_project.middleware.operator_address"
AXES_USERNAME_CALLABLE = "todo_project.middleware.operator_name"
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # Further attempts do not prolong the lock.
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_CALLABLE = "todo_project.admin.locked_out"
AXES_ENABLE_ADMIN = AXES_VERBOSE = False
AXES_DISABLE_ACCESS_LOG = True  # Django's own last_login says when an operator signed in.
AXES_SENSITIVE_PARAMETERS = ["username"]  # Kept out of the log: somebody may have typed a password there.

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

# This header decides the scheme of the links in answers, and whether to redirect. A client that forges it changes
# its own answers only.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"(?:^|/)(?:healthz|readyz)$"]  # Also below a path.
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
# HSTS for subdomains and the browsers' preload list are the operator's decision.
# django-axes looks for its middleware in MIDDLEWARE, but AdminMiddleware has it.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021", "axes.W002"]

# --- Logging: one line a request, without tokens, titles or search words ----------------------------------------

LOG_FORMAT = env_choice("LOG_FORMAT", "plain", "json")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {"()": "todo_project.logging.LineFormatter"},
        "json": {"()": "todo_project.logging.JSONFormatter"},
    },
    "filters": {"not_503": {"()": "todo_project.logging.Not503"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        # The request line says it already.
        "django.request": {"level": "ERROR", "filters": ["not_503"]},
        "django.security": {"level": "ERROR"},
        **{
            f"django.security.{name}": {"level": "CRITICAL"}  # A stranger's form, which 400 or 413 answers.
            for name in ("RequestDataTooBig", "TooManyFieldsSent", "TooManyFilesSent")
        },
        "axes": {"level": "WARNING"},
        "django.server": {"handlers": ["stderr"], "propagate": False},
    },
}
