"""Views that take long, hold connections, track work, or show the shared memory."""

import os
import threading
import time
import warnings
from dataclasses import asdict

from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from apps.fleet import content_lock, leases
from apps.fleet.models import Pool
from apps.lifecycle import registry
from apps.lifecycle.dbpool import thread_limits
from apps.lifecycle.models import Instance
from apps.lifecycle.shared_memory import memory, snapshots
from apps.lifecycle.work import chores
from apps.lifecycle.work.tracked_work import operation_context
from tests.support.playground.apps import note


def sleep(request: HttpRequest, milliseconds: int) -> HttpResponse:
    time.sleep(milliseconds / 1000)
    return HttpResponse("slept")


def warn(request: HttpRequest) -> HttpResponse:
    warnings.warn("something of the playground's is deprecated", UserWarning, stacklevel=1)
    return HttpResponse("warned")


def query(request: HttpRequest, milliseconds: int = 0) -> HttpResponse:
    """The number of the backend that served it."""
    with connection.cursor() as cursor:
        if milliseconds:
            cursor.execute("SELECT pg_sleep(%s)", [milliseconds / 1000])
        cursor.execute("SELECT pg_backend_pid()")
        return HttpResponse(str(cursor.fetchone()[0]))


def count(request: HttpRequest) -> HttpResponse:
    """Waits while somebody has locked the table."""
    return HttpResponse(str(Instance.objects.filter(name="nobody").count()))


def pools(request: HttpRequest) -> HttpResponse:
    """The same with a table that health checks read, too."""
    return HttpResponse(str(Pool.objects.count()))


def write(request: HttpRequest, name: str) -> HttpResponse:
    """A transaction that reads and then writes."""
    with transaction.atomic():
        Instance.objects.filter(name=name).count()
        Instance.objects.create(name=name, version="test", phase="serving")
    return HttpResponse("written")


def update(request: HttpRequest, name: str) -> HttpResponse:
    """A transaction that changes rows which `write` made, and so waits for whoever changes them at the moment."""
    with transaction.atomic():
        changed = Instance.objects.filter(name=name).update(version="changed")
    return HttpResponse(str(changed))


def task(request: HttpRequest, milliseconds: int) -> HttpResponse:
    """Tracked work that goes on after the answer."""

    def run() -> None:
        with operation_context("sync_operation"):
            started.set()
            time.sleep(milliseconds / 1000)
            note("worked")

    started = threading.Event()
    threading.Thread(target=run, daemon=True).start()
    started.wait(5)
    return HttpResponse("started")


def chore(request: HttpRequest, name: str) -> HttpResponse:
    """One step of a chore, as its loop does it; whether this instance got its lock."""
    steps = {"expire_leases": leases.expire_leases, "retention": content, "prune-instances": registry.prune}
    ran = chores.run_exclusively(name, steps[name])
    return HttpResponse("ran" if ran else "locked")


def content() -> None:
    """What retention does to others, whether there is something to remove or not: it has the content for itself."""
    content_lock.own_content()


def snapshot(request: HttpRequest) -> JsonResponse:
    current = snapshots.snapshot()
    return JsonResponse(asdict(current) | {"pid": os.getpid(), "leads": memory.leads(), "refused": current.refused})


def background(request: HttpRequest) -> HttpResponse:
    """A query as background work does it."""
    with thread_limits.background(timeout=0.5), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return HttpResponse("done")


def letters(request: HttpRequest, size: int) -> HttpResponse:
    """An answer of `size` bytes."""
    return HttpResponse(b"x" * size)


@csrf_exempt
def measure(request: HttpRequest) -> HttpResponse:
    """How many bytes of a body came."""
    size = 0
    while chunk := request.read(65536):
        size += len(chunk)
    return HttpResponse(str(size))


urlpatterns = [
    path("letters/<int:size>", letters),
    path("measure", measure),
    path("warn", warn),
    path("sleep/<int:milliseconds>", sleep),
    path("query", query),
    path("query/<int:milliseconds>", query),
    path("count", count),
    path("pools", pools),
    path("write/<str:name>", write),
    path("update/<str:name>", update),
    path("task/<int:milliseconds>", task),
    path("chore/<str:name>", chore),
    path("snapshot", snapshot),
    path("background", background),
    path("", include("pacsync.urls")),
]
