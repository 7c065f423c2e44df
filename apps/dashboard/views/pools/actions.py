"""Creating, changing and deleting a pool. It must not know when that is allowed: pool_manager says that."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from apps.dashboard.requests.action_responses import attempt_with_form, confirmation_page, succeeded
from apps.dashboard.requests.forms import PoolForm
from apps.dashboard.requests.permissions import actor, operator
from apps.dashboard.requests.pool_by_name import pool_named
from apps.fleet import pool_manager
from apps.fleet.models import Pool
from apps.fleet.plural import counted


@operator
@require_http_methods(["GET", "HEAD", "POST"])
def create(request: HttpRequest) -> HttpResponse:
    """GET shows the form; POST creates the pool and shows it."""
    form = PoolForm(request.POST or None, initial=PoolForm.values_of(Pool()))
    if request.method == "POST" and form.is_valid():
        pool = attempt_with_form(form, lambda: pool_manager.create_pool(actor=actor(request), **form.cleaned_data))
        if pool:
            messages.success(request, f"Pool {pool.name} was created.")
            return redirect("pool", name=pool.name)
    return render(
        request, "pacsync/pools/form.html", {"form": form, "section": "fleet"}, status=422 if form.errors else 200
    )


@operator
@require_http_methods(["GET", "HEAD", "POST"])
def change(request: HttpRequest, name: str) -> HttpResponse:
    """GET shows the form; POST changes the name, description and policy."""
    pool = pool_named(Pool.objects.all(), name)
    form = PoolForm(request.POST or None, initial=PoolForm.values_of(pool), pool=pool)
    if request.method == "POST" and form.is_valid():
        changed = attempt_with_form(
            form, lambda: pool_manager.change_pool(pool=pool, actor=actor(request), **form.cleaned_data)
        )
        if changed:
            messages.success(request, f"Pool {changed.name} was changed.")
            return redirect("pool", name=changed.name)
    context = {"form": form, "pool_name": name, "section": "fleet"}
    return render(request, "pacsync/pools/form.html", context, status=422 if form.errors else 200)


@operator
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, name: str) -> HttpResponse:
    """GET asks; POST deletes the pool with its revisions."""
    pool = pool_named(Pool.objects.all(), name)
    if request.method != "POST":
        text, possible = _what_is_lost(pool)
        return confirmation_page(
            request,
            heading=f"Delete pool {name}?",
            text=text,
            button="Delete the pool" if possible else "",
            danger=True,
            back=reverse("pool", args=[name]),
            section="fleet",
        )
    if not succeeded(request, lambda: pool_manager.delete_pool(pool=pool, actor=actor(request))):
        return redirect("pool", name=name)
    messages.success(request, f"Pool {name} was deleted.")
    return redirect("overview")


def _what_is_lost(pool: Pool) -> tuple[str, bool]:
    """What is deleted with the pool, or why it can't be deleted; and whether it can."""
    if endpoints := pool.endpoints.count():
        them = "it" if endpoints == 1 else "them"
        return f"It still has {counted(endpoints, 'endpoint')}. Move {them} to another pool first.", False
    revisions = pool.revisions.count()
    if not revisions:
        return "It has no target revisions and no endpoints. There is no way back.", True
    verb = "is" if revisions == 1 else "are"
    return f"Its {counted(revisions, 'target revision')} {verb} deleted, too. There is no way back.", True
