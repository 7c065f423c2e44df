"""What a target would do to each machine of a pool, without a decision: the list behind every forecast."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from apps.dashboard.access import reader
from apps.dashboard.answers import attempt
from apps.dashboard.forecast_look import EFFECTS, address_of, told
from apps.dashboard.list_query import ListQuery
from apps.dashboard.pools_by_name import pool_named
from apps.dashboard.reading import page_of
from apps.fleet import difference, forecast, proposed
from apps.fleet.forecast import Effect
from apps.fleet.models import Pool

PER_PAGE = 50


@reader
@require_safe
def preview(request: HttpRequest, name: str) -> HttpResponse:
    """`of` is what would be the target (empty: what is), `machines` an effect whose machines are listed."""
    pool = pool_named(Pool.objects.select_related("target"), name)
    query = ListQuery(request)
    what = attempt(request, lambda: proposed.find(pool, query.text("of")))
    if what is None:
        return redirect("pool", name=name)
    found = forecast.of(pool, what)
    known = what.revision is not None and what.revision == pool.target_id
    context: dict[str, Any] = {
        "section": "fleet",
        "pool": pool,
        "what": what.words,
        "known": known,
        "forecast": told(pool, what, found),
        "whole": address_of(pool, what),
    }
    chosen = query.choice("machines", [effect.value for effect in EFFECTS])
    if chosen:
        page = page_of(request, found.machines[Effect(chosen)], PER_PAGE)
        context |= {
            "chosen": chosen,
            "look": EFFECTS[Effect(chosen)],
            "page": page,
            "machines": [(one, _counts(found, one)) for one in page],
        }
    return render(request, "pacsync/preview.html", context)


def _counts(found: forecast.Forecast, name: str) -> dict[str, int] | None:
    return difference.count_kinds(found.changes[name]) if name in found.changes else None
