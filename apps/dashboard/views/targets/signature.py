"""The signature of a revision: the text to download and sign, the upload of the signature, and its removal."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from apps.dashboard.requests.action_responses import attempt_with_form, confirmation_page, succeeded
from apps.dashboard.requests.forms import SignatureForm
from apps.dashboard.requests.list_query import ListQuery
from apps.dashboard.requests.permissions import actor, operator, viewer
from apps.dashboard.requests.pool_by_name import pool_named
from apps.fleet import limits, signed_revisions
from apps.fleet.exceptions import FleetError
from apps.fleet.models import Pool

DAYS = (7, 30, limits.SIGNATURE_DAYS_DEFAULT, 365)


def _pool(name: str) -> Pool:
    return pool_named(Pool.objects.select_related("target"), name)


@viewer
@require_safe
def document(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """The text to sign, as a file; `days`: for how long the signature will be good."""
    pool = _pool(name)
    get_object_or_404(pool.revisions, number=number)
    text = ListQuery(request).text("days")
    days = int(text) if text.isascii() and text.isdigit() and len(text) < 5 else limits.SIGNATURE_DAYS_DEFAULT
    try:
        content = signed_revisions.document(pool=pool, number=number, days=days)
    except FleetError as refusal:
        messages.error(request, str(refusal))
        return redirect("revision", name=name, number=number)
    response = HttpResponse(content, content_type="text/plain; charset=us-ascii")
    response["Content-Disposition"] = f'attachment; filename="{pool.name}-{number}.txt"'
    return response


@operator
@require_http_methods(["GET", "HEAD", "POST"])
def sign(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """GET says how to sign; POST keeps an uploaded signature."""
    pool = _pool(name)
    found = get_object_or_404(pool.revisions, number=number)
    form = SignatureForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        made = attempt_with_form(
            form,
            lambda: signed_revisions.sign(
                pool=pool,
                number=number,
                document=form.cleaned_data["document"].read(signed_revisions.LIMIT),
                signature=form.cleaned_data["signature"].read(signed_revisions.LIMIT),
                actor=actor(request),
            ),
        )
        if made:
            messages.success(request, f"The signature of target #{number} was uploaded.")
            return redirect("revision", name=name, number=number)
    context = {
        "section": "fleet",
        "pool": pool,
        "revision": found,
        "signature": signed_revisions.of(found),
        "form": form,
        "days": DAYS,
        "default_days": limits.SIGNATURE_DAYS_DEFAULT,
    }
    status = 422 if request.method == "POST" else 200
    return render(request, "pacsync/targets/sign.html", context, status=status)


@operator
@require_http_methods(["GET", "HEAD", "POST"])
def remove(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """GET asks; POST removes the signature."""
    pool = _pool(name)
    get_object_or_404(pool.revisions, number=number)
    if request.method == "POST":
        if succeeded(request, lambda: signed_revisions.remove(pool=pool, number=number, actor=actor(request))):
            messages.success(request, f"Target #{number} is no longer signed.")
        return redirect("revision", name=name, number=number)
    return confirmation_page(
        request,
        heading=f"Remove the signature of target #{number} of {pool.name}?",
        text="Machines that follow only signed revisions then refuse this one. Machines that have it already keep it. "
        "The signature can be uploaded again until it expires.",
        button="Remove the signature",
        danger=True,
        back=reverse("revision", args=[name, number]),
        section="fleet",
    )
