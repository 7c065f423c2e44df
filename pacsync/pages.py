"""What Django needs for the pages: templates, static files, and what a browser may load.

It must not read the environment.
"""

from typing import Any

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "apps.dashboard.presentation.context_processor.service",
            ]
        },
    }
]
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
        "object-src": ["'none'"],
    }
}


def storages(*, hashed_names: bool) -> dict[str, dict[str, str]]:
    """Django's STORAGES. Hashed names come from `collectstatic`; a checkout without them serves the sources."""
    static = "django.contrib.staticfiles.storage.StaticFilesStorage"
    if hashed_names:
        static = "apps.dashboard.storage.HashedStaticFilesStorage"
    return {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": static},
    }
