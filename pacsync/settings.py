"""Every setting, and the one place that reads the environment (docs/configuration.md).

It must not know what the apps do with a setting. A value that makes no sense is refused here with one clear line.
"""

import re
import sys
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

import pacsync
from apps.lifecycle import private_files
from pacsync import logging as pacsync_logging
from pacsync import pages
from pacsync.accounts import *  # noqa: F403 - each of them is a setting, named in its __all__
from pacsync.environment import (
    DAY,
    address,
    choice,
    cookie_name,
    database,
    env,
    every_address,
    file_or_address,
    flag,
    hosts,
    listener,
    log_level,
    networks,
    origins,
    proxies,
    seconds,
    text,
    whole,
)

BASE_DIR = Path(__file__).resolve().parent.parent

# --- What this is -----------------------------------------------------------------------------------------------
SERVICE_NAME = "pacman-sync-utility"
VERSION = pacsync.__version__
ENVIRONMENT = choice("ENVIRONMENT", "production", ("production", "staging", "development", "test"))
DEVELOPMENT = ENVIRONMENT in {"development", "test"}
DEBUG = flag("DEBUG", False)
# How a person runs a management command here: in the clone of `make run` the environment has to be named.
MANAGE_COMMAND = "python manage.py"
if ENVIRONMENT == "development" and Path(sys.prefix).resolve() == (BASE_DIR / ".venv").resolve():
    MANAGE_COMMAND = "ENVIRONMENT=development .venv/bin/python manage.py"

SECRET_KEY = env.str("SECRET_KEY", default="").strip()
if not SECRET_KEY and ENVIRONMENT == "development" and (BASE_DIR / "data" / "secret_key").is_file():
    SECRET_KEY = private_files.read(BASE_DIR / "data" / "secret_key").strip()  # the one that `make run` made
if not SECRET_KEY:
    raise ImproperlyConfigured(
        "SECRET_KEY is not set: set SECRET_KEY or SECRET_KEY_FILE. "
        "(With ENVIRONMENT=development the key is used that `make run` made.)"
    )

# Keys of before, which still verify sessions while a new one is introduced.
SECRET_KEY_FALLBACKS = [key.strip() for key in env.list("SECRET_KEY_FALLBACKS", default=[]) if key.strip()]

# --- HTTP -------------------------------------------------------------------------------------------------------
HTTP_HOST = env.str("HTTP_HOST", default="").strip() or every_address()
HTTP_PORT = whole("HTTP_PORT", 8080, minimum=1, maximum=65535)
HTTP_ADDRESS = listener("HTTP_HOST", HTTP_HOST, HTTP_PORT)
WEB_CONCURRENCY = whole("WEB_CONCURRENCY", 1, minimum=1, maximum=1000)
WEB_THREADS = whole("WEB_THREADS", 16, minimum=2, maximum=1000)
# Application requests that a worker serves at once; the threads above it stay free for probes.
WEB_REQUEST_LIMIT = whole("WEB_REQUEST_LIMIT", max(1, WEB_THREADS - 2), minimum=1)
if WEB_REQUEST_LIMIT > WEB_THREADS:
    raise ImproperlyConfigured(
        f"WEB_REQUEST_LIMIT ({WEB_REQUEST_LIMIT}) must not be above WEB_THREADS ({WEB_THREADS}): "
        "a worker serves no more requests at once than it has threads."
    )
# How many more may wait, each in a further thread, and for how many seconds; then they are refused.
WEB_QUEUE_SIZE = whole("WEB_QUEUE_SIZE", 128, maximum=1000)
WEB_QUEUE_TIMEOUT = seconds("WEB_QUEUE_TIMEOUT", 2)
WEB_KEEPALIVE = whole("WEB_KEEPALIVE", 65, maximum=DAY)
WEB_MAX_REQUESTS = whole("WEB_MAX_REQUESTS", 0)
REQUEST_LINE_LIMIT = whole("REQUEST_LINE_LIMIT", 8190, minimum=512, maximum=8190)  # bytes; gunicorn takes no more
REQUEST_HEADER_LIMIT = whole("REQUEST_HEADER_LIMIT", 8190, minimum=512, maximum=32768)  # bytes of one header field
# After how many seconds a client is cut off that sends or takes nothing in the middle of a request; 0 means never.
REQUEST_READ_TIMEOUT = seconds("REQUEST_READ_TIMEOUT", 20)
# A whole body, a whole answer, and the bytes per second that either has to make on average; 0 means no limit.
REQUEST_BODY_TIMEOUT = seconds("REQUEST_BODY_TIMEOUT", 900)
RESPONSE_TIMEOUT = seconds("RESPONSE_TIMEOUT", 900)
TRANSFER_MIN_RATE = whole("TRANSFER_MIN_RATE", 1000)
# Bytes of a body on an anonymous route, or of a request with neither a token nor a session.
REQUEST_ANONYMOUS_BODY_LIMIT = whole("REQUEST_ANONYMOUS_BODY_LIMIT", 64 * 1024, minimum=1024)
# Bytes that a worker keeps in memory and temporary files for slow clients; above it the slowest one is ended.
WEB_SPOOL_LIMIT = whole("WEB_SPOOL_LIMIT", 256 << 20, minimum=1 << 20)
# Connections of one address to a worker, trusted proxies apart; 0 means no limit.
WEB_SOURCE_CONNECTIONS = whole("WEB_SOURCE_CONNECTIONS", 200)
PRELOAD_APP = flag("PRELOAD_APP", False)
FORWARDED_ALLOW_IPS = proxies("FORWARDED_ALLOW_IPS", "127.0.0.1,::1")
INSTANCE_NAME = text("INSTANCE_NAME", "", longest=255)
INSTANCE_HEARTBEAT_INTERVAL = seconds("INSTANCE_HEARTBEAT_INTERVAL", 10, minimum=0.1)
ALLOWED_HOSTS = hosts("ALLOWED_HOSTS", ["*"] if DEVELOPMENT else ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = origins("CSRF_TRUSTED_ORIGINS")
CORS_ALLOWED_ORIGINS = origins("CORS_ALLOWED_ORIGINS")
CORS_URLS_REGEX = r"^/api/"
# The limit of a JSON or form body, in bytes. Uploads of agents have their own (apps/api/requests/body.py).
DATA_UPLOAD_MAX_MEMORY_SIZE = 1 << 20
# TLS ends at a proxy in front that sets X-Forwarded-Proto. Without it everything must still work over plain HTTP.
BEHIND_HTTPS_PROXY = flag("BEHIND_HTTPS_PROXY", False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_HTTPS_PROXY else None
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = BEHIND_HTTPS_PROXY
SECURE_HSTS_SECONDS = whole("HSTS_SECONDS", 31_536_000) if BEHIND_HTTPS_PROXY else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS, SECURE_HSTS_PRELOAD = flag("HSTS_INCLUDE_SUBDOMAINS"), flag("HSTS_PRELOAD")
# Cookies belong to a host, not to a port: another Django application on this host needs other names.
SESSION_COOKIE_NAME = cookie_name("SESSION_COOKIE_NAME", "sessionid")
CSRF_COOKIE_NAME = cookie_name("CSRF_COOKIE_NAME", "csrftoken")
if SESSION_COOKIE_NAME == CSRF_COOKIE_NAME:
    raise ImproperlyConfigured("SESSION_COOKIE_NAME and CSRF_COOKIE_NAME must differ.")

# --- Apps -------------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "apps.dashboard.admin_config.AdminOfAdministrators",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "corsheaders",
    "csp",
    *LOGIN_APPS,  # noqa: F405 - of pacsync.accounts
    "apps.lifecycle",
    "apps.fleet",
    "apps.accounts",
    "apps.vulnerabilities",
    "apps.health",
    "apps.api",
    "apps.dashboard",
    "apps.agent",
]
MIDDLEWARE = [
    "apps.api.requests.middleware.RequestMiddleware",
    "apps.health.middleware.RouteMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "apps.api.access.for_browsers.PolicyForBrowsers",
    "corsheaders.middleware.CorsMiddleware",
    "apps.api.access.rate_limits.RateLimitMiddleware",
    "apps.api.access.for_browsers.SessionForBrowsers",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "apps.api.access.for_browsers.UserForBrowsers",
    "apps.api.access.for_browsers.AccountsForBrowsers",
    "apps.api.access.unauthenticated_forms.SmallBodyMiddleware",
    "apps.api.access.for_browsers.MessagesForBrowsers",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
    "apps.lifecycle.dbpool.middleware.DatabaseUnavailableMiddleware",
    "apps.dashboard.requests.error_pages.ErrorPagesMiddleware",
    "apps.lifecycle.wsgi.trailing_slash.TrailingSlashMiddleware",
]
ROOT_URLCONF = "pacsync.urls"
WSGI_APPLICATION = "pacsync.wsgi.application"
APPEND_SLASH = False
TEMPLATES = pages.TEMPLATES
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = pages.storages(hashed_names=not DEVELOPMENT)  # an image's build runs `collectstatic`
WHITENOISE_USE_FINDERS = DEVELOPMENT
# The names that `collectstatic` makes. WhiteNoise's own test would ask for a jquery.js because of jquery.init.js.
WHITENOISE_IMMUTABLE_FILE_TEST = r"\.[0-9a-f]{12}\.[^/]+$"
CONTENT_SECURITY_POLICY = pages.CONTENT_SECURITY_POLICY
CSRF_FAILURE_VIEW = "apps.dashboard.requests.csrf_failure.failure"
LANGUAGE_CODE, TIME_ZONE = "en", "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Database ---------------------------------------------------------------------------------------------------
# Seconds unless the name says otherwise; connections are per instance and are shared out over its workers.
DB_POOL_MIN_SIZE = whole("DB_POOL_MIN_SIZE", 2, maximum=100_000)
DB_POOL_MAX_SIZE = whole("DB_POOL_MAX_SIZE", 10, minimum=1, maximum=100_000)
if DB_POOL_MIN_SIZE > DB_POOL_MAX_SIZE:
    raise ImproperlyConfigured(
        f"DB_POOL_MIN_SIZE ({DB_POOL_MIN_SIZE}) must not be above DB_POOL_MAX_SIZE ({DB_POOL_MAX_SIZE})."
    )
DB_POOL_CHECK_INTERVAL = seconds("DB_POOL_CHECK_INTERVAL", 30, minimum=0.1)
DB_PGBOUNCER = flag("DB_PGBOUNCER", False)
# How long a statement of a migration waits for a lock, and how long a migration is tried again.
MIGRATE_LOCK_TIMEOUT = seconds("MIGRATE_LOCK_TIMEOUT", 2, minimum=0.1, maximum=60)
MIGRATE_TIMEOUT = seconds("MIGRATE_TIMEOUT", 600)
_database = database("DATABASE_URL", f"sqlite:///{BASE_DIR / 'data' / 'pacsync.sqlite3'}")
DATABASES: dict[str, dict[str, Any]] = {"default": _database}
DATABASE_TYPE = "sqlite" if _database["ENGINE"].endswith("sqlite3") else "postgresql"
if DATABASE_TYPE == "sqlite":
    _database["ENGINE"] = "pacsync.sqlite"
    # How many threads may wait for the write lock at once: the others stay free for reads.
    _database["WRITERS_WAITING"] = max(1, WEB_REQUEST_LIMIT // 2)
    _database["OPTIONS"] = {
        # FULL: what was answered is on the disk, and a power cut takes none of it (docs/adr/0017-…).
        # IMMEDIATE: a writing transaction takes its lock first, so that it waits instead of failing half-way.
        "transaction_mode": "IMMEDIATE",
        "timeout": seconds("DB_SQLITE_TIMEOUT", 5, minimum=0.1, maximum=60),
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
    }
else:
    if DB_POOL_MAX_SIZE < WEB_CONCURRENCY:
        raise ImproperlyConfigured(
            f"DB_POOL_MAX_SIZE ({DB_POOL_MAX_SIZE}) must not be below WEB_CONCURRENCY ({WEB_CONCURRENCY}): "
            "each worker needs a connection."
        )
    if DB_PGBOUNCER and "assume_role" in _database["OPTIONS"]:
        raise ImproperlyConfigured("DATABASE_URL: assume_role can't pass PgBouncer: set the role in its configuration.")
    _database["CONN_MAX_AGE"] = 0
    # PgBouncer in transaction mode has no session: no server-side cursors, no start-up options.
    _database["DISABLE_SERVER_SIDE_CURSORS"] = DB_PGBOUNCER
    _idle = whole("DB_KEEPALIVES_IDLE", 30, minimum=1, maximum=32767)
    DB_STATEMENT_TIMEOUT = seconds("DB_STATEMENT_TIMEOUT", 30)
    # Another instance that is frozen in the middle of a transaction costs the others these seconds, no more.
    DB_IDLE_IN_TRANSACTION_TIMEOUT = seconds("DB_IDLE_IN_TRANSACTION_TIMEOUT", 10)
    DB_LOCK_TIMEOUT = seconds("DB_LOCK_TIMEOUT", min(5, DB_STATEMENT_TIMEOUT / 2 or 5))
    if 0 < DB_STATEMENT_TIMEOUT <= DB_LOCK_TIMEOUT:
        raise ImproperlyConfigured(
            f"DB_LOCK_TIMEOUT ({DB_LOCK_TIMEOUT:g} s) must be below DB_STATEMENT_TIMEOUT ({DB_STATEMENT_TIMEOUT:g} s)."
        )
    _tcp_user_timeout = int(seconds("DB_TCP_USER_TIMEOUT", 15) * 1000)
    _database["OPTIONS"] = {
        "connect_timeout": whole("DB_CONNECT_TIMEOUT", 3, minimum=1, maximum=3600),
        "keepalives_idle": _idle,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": _tcp_user_timeout,
        "application_name": SERVICE_NAME,
        **_database.get("OPTIONS", {}),
        "dbpool": {
            "min_size": DB_POOL_MIN_SIZE,
            "max_size": DB_POOL_MAX_SIZE,
            "timeout": seconds("DB_POOL_TIMEOUT", 3, minimum=0.1),
            # PostgreSQL has no limit for COMMIT, which waits for a synchronous standby for ever.
            "commit_timeout": seconds("DB_COMMIT_TIMEOUT", 10, minimum=0.1),
            "max_waiting": whole("DB_POOL_MAX_WAITING", 50),
            "max_lifetime": seconds("DB_POOL_MAX_LIFETIME", 1800, minimum=1, maximum=30 * DAY),
            "max_idle": seconds("DB_POOL_MAX_IDLE", 300, minimum=1, maximum=30 * DAY),
            # A statement that the server itself doesn't end after its time: it is frozen, or can't be reached.
            "silence": DB_STATEMENT_TIMEOUT and DB_STATEMENT_TIMEOUT + 5,
            "direct": not DB_PGBOUNCER,
            # client_connection_check_interval: the query of a worker that was killed ends within a second. PostgreSQL's
            # keepalives end the idle connections of a machine that is gone; its own default is two hours. Its
            # tcp_user_timeout ends a transaction whose client is frozen and takes no more of a long answer.
            "startup": ""
            if DB_PGBOUNCER
            else f"-c statement_timeout={int(DB_STATEMENT_TIMEOUT * 1000)} -c client_connection_check_interval=1000 "
            f"-c idle_in_transaction_session_timeout={int(DB_IDLE_IN_TRANSACTION_TIMEOUT * 1000)} "
            f"-c lock_timeout={int(DB_LOCK_TIMEOUT * 1000)} -c tcp_user_timeout={_tcp_user_timeout} "
            f"-c tcp_keepalives_idle={_idle} -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3",
        },
    }

# --- Features ---------------------------------------------------------------------------------------------------
ENABLE_REPOSITORY_ANALYSIS = flag("ENABLE_REPOSITORY_ANALYSIS", True)
AUTO_CLEANUP_OLD_STATES = flag("AUTO_CLEANUP_OLD_STATES", True)
REQUIRE_APPROVAL = flag("REQUIRE_APPROVAL", False)
POLL_SECONDS = whole("POLL_SECONDS", 60, minimum=1, maximum=DAY)
PACKAGE_ARCHIVE_URL = address("PACKAGE_ARCHIVE_URL", "https://archive.archlinux.org")
SECURITY_TRACKER_URL = file_or_address("SECURITY_TRACKER_URL", "https://security.archlinux.org/all.json")  # "": off
SECURITY_TRACKER_HOURS = whole("SECURITY_TRACKER_HOURS", 6, minimum=1, maximum=168)

# --- Limits of work ---------------------------------------------------------------------------------------------
# Packages of a state and of a repository; the limits of bytes follow from them (apps/api/requests/body.py).
STATE_MAX_PACKAGES = whole("STATE_MAX_PACKAGES", 20_000, minimum=1, maximum=1_000_000)
REPOSITORY_MAX_PACKAGES = whole("REPOSITORY_MAX_PACKAGES", 50_000, minimum=1, maximum=1_000_000)
# Seconds of processor time that one request's comparisons may take; 0 means no limit.
COMPARISON_TIMEOUT = seconds("COMPARISON_TIMEOUT", 5)
# Requests without a valid token or session, in a minute and at one moment, from one address and from all; 0: no limit.
RATE_LIMIT_ANONYMOUS = whole("RATE_LIMIT_ANONYMOUS", 12_000)
RATE_LIMIT_ANONYMOUS_TOTAL = whole("RATE_LIMIT_ANONYMOUS_TOTAL", 30_000)
RATE_LIMIT_ENROLMENT = whole("RATE_LIMIT_ENROLMENT", 1000)
RATE_LIMIT_ENROLMENT_TOTAL = whole("RATE_LIMIT_ENROLMENT_TOTAL", 3000)
RATE_LIMIT_LOGIN = whole("RATE_LIMIT_LOGIN", 20)
RATE_LIMIT_LOGIN_TOTAL = whole("RATE_LIMIT_LOGIN_TOTAL", 60)
RATE_LIMIT_FAILURES = whole("RATE_LIMIT_FAILURES", 100)
RATE_LIMIT_FAILURES_TOTAL = whole("RATE_LIMIT_FAILURES_TOTAL", 6000)
# What one endpoint may upload: texts in an hour, MiB in a day, MiB that are still kept; 0 means no limit.
UPLOAD_QUOTA_PER_HOUR = whole("UPLOAD_QUOTA_PER_HOUR", 300)
UPLOAD_QUOTA_MB_PER_DAY = whole("UPLOAD_QUOTA_MB_PER_DAY", 2048)
UPLOAD_QUOTA_MB_STORED = whole("UPLOAD_QUOTA_MB_STORED", 4096)

# --- Health and shutdown ----------------------------------------------------------------------------------------
HEALTH_CHECK_INTERVAL = seconds("HEALTH_CHECK_INTERVAL", 30, minimum=0.1)
HEALTH_DETAIL = choice("HEALTH_DETAIL", "public", ("public", "private"))
HEALTH_DETAIL_NETWORKS = networks("HEALTH_DETAIL_NETWORKS")
# The whole path of a request to apps.health: not in the access log, not in WEB_MAX_REQUESTS, outside the rate limits.
HEALTH_PATH = re.compile(r"/(metrics|health(/(live|ready|startup|detailed|components(/[^/]+)?))?)/?")
SHUTDOWN_TIMEOUT = seconds("SHUTDOWN_TIMEOUT", 30, minimum=1)
SHUTDOWN_DRAIN_DELAY = seconds("SHUTDOWN_DRAIN_DELAY", 5)
if SHUTDOWN_DRAIN_DELAY >= SHUTDOWN_TIMEOUT:
    raise ImproperlyConfigured(
        f"SHUTDOWN_DRAIN_DELAY ({SHUTDOWN_DRAIN_DELAY:g} s) must be below SHUTDOWN_TIMEOUT ({SHUTDOWN_TIMEOUT:g} s)."
    )

# --- Logging ----------------------------------------------------------------------------------------------------
STRUCTURED_LOGGING = flag("STRUCTURED_LOGGING", True)
LOG_LEVEL = log_level("LOG_LEVEL")
ACCESS_LOG = flag("ACCESS_LOG", True)
LOGGING = pacsync_logging.configuration(structured=STRUCTURED_LOGGING, level=LOG_LEVEL, access_log=ACCESS_LOG)
