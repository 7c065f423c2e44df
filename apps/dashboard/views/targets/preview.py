"""The preview: what a target would do to each machine of a pool. Nothing is changed here."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from apps.dashboard.presentation.forecast_tables import forecast_table, preview_url
from apps.dashboard.presentation.status_badges import EFFECT_BADGES
from apps.dashboard.requests.action_responses import attempt
from apps.dashboard.requests.list_query import ListQuery
from apps.dashboard.requests.pagination import page_of
from apps.dashboard.requests.permissions import viewer
from apps.dashboard.requests.pool_by_name import pool_named
from apps.fleet import difference, forecast, proposed
from apps.fleet.forecast import Effect
from apps.fleet.models import Pool

PER_PAGE = 50


@viewer
@require_safe
def preview(request: HttpRequest, name: str) -> HttpResponse:
    """`of` is the proposed target (empty: the current one); `machines` is an effect whose machines are listed."""
    pool = pool_named(Pool.objects.select_related("target"), name)
    query = ListQuery(request)
    what = attempt(request, lambda: proposed.find(pool, query.text("of")))
    if what is None:
        return redirect("pool", name=name)
    found = forecast.of(pool, what)
    is_target = what.revision is not None and what.revision == pool.target_id
    context: dict[str, Any] = {
        "section": "fleet",
        "pool": pool,
        "what": what.label,
        "is_target": is_target,
        "forecast": forecast_table(pool, what, found),
        "whole": preview_url(pool, what),
    }
    chosen = query.choice("machines", [effect.value for effect in EFFECT_BADGES])
    if chosen:
        page = page_of(request, found.machines[Effect(chosen)], PER_PAGE)
        context |= {
            "chosen": chosen,
            "badge": EFFECT_BADGES[Effect(chosen)],
            "page": page,
            "machines": [(one, _counts(found, one)) for one in page],
        }
    return render(request, "pacsync/targets/preview.html", context)


def _counts(found: forecast.Forecast, name: str) -> dict[str, int] | None:
    return difference.count_kinds(found.changes[name]) if name in found.changes else None
