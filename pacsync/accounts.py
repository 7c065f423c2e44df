"""Settings of people's accounts: how passwords are checked, how many wrong ones may come, how long a session lasts.

`pacsync/settings.py` takes over all of them; docs/configuration.md has the variables.
"""

from datetime import timedelta

from django.core.exceptions import ImproperlyConfigured

from pacsync.environment import whole

__all__ = [
    "AUTHENTICATION_BACKENDS",
    "AUTH_PASSWORD_VALIDATORS",
    "AXES_CLIENT_IP_CALLABLE",
    "AXES_COOLOFF_TIME",
    "AXES_DISABLE_ACCESS_LOG",
    "AXES_ENABLE_ADMIN",
    "AXES_FAILURE_LIMIT",
    "AXES_HANDLER",
    "AXES_LOCKOUT_CALLABLE",
    "AXES_LOCKOUT_PARAMETERS",
    "AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT",
    "AXES_RESET_ON_SUCCESS",
    "AXES_SENSITIVE_PARAMETERS",
    "AXES_USERNAME_CALLABLE",
    "AXES_VERBOSE",
    "LOGIN_APPS",
    "LOGIN_FAILURES",
    "LOGIN_FAILURES_ADDRESS",
    "LOGIN_REDIRECT_URL",
    "LOGIN_URL",
    "LOGOUT_REDIRECT_URL",
    "OTP_TOTP_ISSUER",
    "SESSION_COOKIE_AGE",
    "SESSION_ENGINE",
    "SESSION_IDLE_MINUTES",
    "SESSION_MAX_HOURS",
]

LOGIN_APPS = ["axes", "django_otp", "django_otp.plugins.otp_totp", "django_otp.plugins.otp_static"]
LOGIN_URL, LOGIN_REDIRECT_URL, LOGOUT_REDIRECT_URL = "login", "overview", "login"
AUTH_PASSWORD_VALIDATORS = [
    *(
        {"NAME": f"django.contrib.auth.password_validation.{name}"}
        for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
    ),
    {"NAME": "apps.accounts.password_audit.PasswordAudit"},
]

# --- Wrong passwords (docs/adr/0057-…) --------------------------------------------------------------------------
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
# How many one address may send for one account, and for all accounts together, before it is blocked.
LOGIN_FAILURES = whole("LOGIN_FAILURES", 10, minimum=1, maximum=1000)
LOGIN_FAILURES_ADDRESS = whole("LOGIN_FAILURES_ADDRESS", 30, minimum=1, maximum=10_000)
if LOGIN_FAILURES > LOGIN_FAILURES_ADDRESS:
    raise ImproperlyConfigured(
        f"LOGIN_FAILURES ({LOGIN_FAILURES}) must not be above LOGIN_FAILURES_ADDRESS ({LOGIN_FAILURES_ADDRESS}): "
        "what an address sends for one account counts for all accounts, too."
    )
AXES_COOLOFF_TIME = timedelta(minutes=whole("LOGIN_BLOCK_MINUTES", 15, minimum=1, maximum=1440))
AXES_HANDLER = "apps.accounts.axes_handler.LoginFailuresHandler"
AXES_FAILURE_LIMIT = 100  # percent of ours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"], "ip_address"]
AXES_USERNAME_CALLABLE = "apps.accounts.login_identity.account"
AXES_CLIENT_IP_CALLABLE = "apps.accounts.login_identity.address"
AXES_LOCKOUT_CALLABLE = "apps.accounts.blocked_page.blocked"
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "old_password", "new_password1", "new_password2"]
AXES_DISABLE_ACCESS_LOG = True  # the audit has it
AXES_ENABLE_ADMIN = False  # apps.accounts has its own
AXES_VERBOSE = False

# --- The second factor ------------------------------------------------------------------------------------------
OTP_TOTP_ISSUER = "PacSync"

# --- Sessions ---------------------------------------------------------------------------------------------------
# Minutes without a request, and hours after the login, until a session ends.
SESSION_IDLE_MINUTES = whole("SESSION_IDLE_MINUTES", 480, minimum=2, maximum=525_600)
SESSION_MAX_HOURS = whole("SESSION_MAX_HOURS", 168, minimum=1, maximum=8760)
if SESSION_IDLE_MINUTES > SESSION_MAX_HOURS * 60:
    raise ImproperlyConfigured(
        f"SESSION_IDLE_MINUTES ({SESSION_IDLE_MINUTES}) must not be above SESSION_MAX_HOURS ({SESSION_MAX_HOURS} h)."
    )
SESSION_ENGINE = "apps.accounts.session_store"
SESSION_COOKIE_AGE = SESSION_MAX_HOURS * 3600  # of the cookie; the session's row may end earlier
