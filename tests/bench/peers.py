"""What the bench compares PacSync with, each under the same gunicorn: chosen by the variable PEER."""

import atexit
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

BODY = b'{"status":"alive","uptime_seconds":123.45,"timestamp":"2025-01-15T10:30:00Z"}'


def bare(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """The least that WSGI can do: this is the 1.0 of the table."""
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(BODY)))])
    return [BODY]


STARTPROJECT = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]


def _django(urls: Any, *apps: str, **options: Any) -> Any:
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application

    settings.configure(
        SECRET_KEY="only-for-the-bench",
        ALLOWED_HOSTS=["*"],
        INSTALLED_APPS=apps,
        ROOT_URLCONF=__name__,
        DATABASES={"default": _database(os.environ["DATABASE_URL"])},
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
        **options,
    )
    application = get_wsgi_application()
    globals()["urlpatterns"] = urls()
    return application


def _database(url: str) -> dict[str, Any]:
    import environ

    least, most = int(os.environ.get("DB_POOL_MIN_SIZE", "2")), int(os.environ.get("DB_POOL_MAX_SIZE", "10"))
    return {**environ.Env.db_url_config(url), "OPTIONS": {"pool": {"min_size": least, "max_size": most}}}


def view() -> Any:
    """A Django view without any middleware."""

    def urls() -> list[Any]:
        from django.http import HttpRequest, HttpResponse
        from django.urls import path

        def alive(request: HttpRequest) -> HttpResponse:
            return HttpResponse(BODY, content_type="application/json")

        return [path("", alive)]

    return _django(urls)


def health_check() -> Any:
    """django-health-check's own view, with its database check, as its documentation shows; beside it a liveness view
    and views that use the database, through Django's own psycopg pool."""

    def urls() -> list[Any]:
        from django.db import connection
        from django.http import HttpRequest, HttpResponse
        from django.urls import path
        from health_check.views import HealthCheckView

        def live(request: HttpRequest) -> HttpResponse:
            return HttpResponse(BODY, content_type="application/json")

        def query(request: HttpRequest, milliseconds: int = 0) -> HttpResponse:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(%s)", [milliseconds / 1000])
            return HttpResponse("done")

        def count(request: HttpRequest) -> HttpResponse:
            with connection.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM lifecycle_instance")
            return HttpResponse("counted")

        def sleep(request: HttpRequest, milliseconds: int) -> HttpResponse:
            time.sleep(milliseconds / 1000)
            return HttpResponse("slept")

        return [
            path("", HealthCheckView.as_view(checks=["health_check.Database"])),
            path("health/ready", HealthCheckView.as_view(checks=["health_check.Database"])),
            path("health/live", live),
            path("query", query),
            path("query/<int:milliseconds>", query),
            path("count", count),
            path("sleep/<int:milliseconds>", sleep),
        ]

    return _django(urls, "health_check")


def least_checkin() -> Any:
    """The least that a check-in can be: find the row of a token, update it, answer; startproject's middleware."""

    def urls() -> list[Any]:
        from django.db import models
        from django.db.models.functions import Now
        from django.http import HttpRequest, JsonResponse
        from django.urls import path

        class Endpoint(models.Model):
            token_hash = models.CharField(max_length=64)
            report_seq = models.BigIntegerField()
            last_seen = models.DateTimeField()

            class Meta:
                app_label, db_table, managed = "least", "fleet_endpoint", False

            def __str__(self) -> str:
                return str(self.pk)

        def checkin(request: HttpRequest) -> JsonResponse:
            report = json.loads(request.body)
            token = request.headers["Authorization"].removeprefix("Bearer ")
            found = Endpoint.objects.get(token_hash=hashlib.sha256(token.encode()).hexdigest())
            Endpoint.objects.filter(pk=found.pk).update(report_seq=report["seq"], last_seen=Now())
            return JsonResponse({"recorded": True})

        return [path("api/v1/checkin", checkin)]

    apps = ("django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "django.contrib.messages")
    return _django(urls, *apps, MIDDLEWARE=STARTPROJECT)


def least_fleet() -> Any:
    """The least views of tests/bench/least_fleet.py, with startproject's middleware."""

    def urls() -> list[Any]:
        from tests.bench import least_fleet

        return least_fleet.urls()

    apps = ("django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "django.contrib.messages")
    return _django(urls, *apps, MIDDLEWARE=STARTPROJECT, DATA_UPLOAD_MAX_MEMORY_SIZE=None)


def _note_cleanup() -> None:
    Path(os.environ["PEER_EVIDENCE"]).write_text("cleaned up")


if "PEER_EVIDENCE" in os.environ:
    atexit.register(_note_cleanup)

PEERS = {"view": view, "health_check": health_check, "least_checkin": least_checkin, "least_fleet": least_fleet}
application = PEERS[os.environ["PEER"]]() if os.environ.get("PEER") in PEERS else bare
