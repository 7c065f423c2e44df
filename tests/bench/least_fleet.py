"""The least that a Django view can do for each of the fleet's answers: plain SQL, which needs nothing but the database.

The views know no rule: no held or foreign packages, no pacman's order, no time limits. `behind` is whatever isn't the
target, and who has a package is read from `bench_installed`, which nobody has to keep up (tests/bench/fleet_of.py).
"""
# The SQL is put together from constants of this module; what a request says is a parameter.
# ruff: noqa: S608

import gzip
import hashlib
import json
import zlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import engines
from django.urls import path

ENDPOINT_SORTS = {"name": "e.name", "last_seen": "e.last_seen, e.name", "-last_seen": "e.last_seen DESC, e.name DESC"}
LAST = """(SELECT {what} FROM fleet_operation o WHERE o.endpoint_id = e.id AND o.finished IS NOT NULL
           ORDER BY o.created DESC LIMIT 1)"""
FILTERS = {
    "pool": "p.name = %s",
    "name": "e.name ILIKE '%%' || %s || '%%'",
    "status": "e.state_id <> r.state_id AND %s <> ''",
    "package": "e.id IN (SELECT endpoint_id FROM bench_installed WHERE name = %s)",
    "last_result": f"{LAST.format(what='o.status')} = %s",
    "after": "e.name > %s",
}
FROM = (
    "fleet_endpoint e LEFT JOIN fleet_pool p ON p.id = e.pool_id LEFT JOIN fleet_targetrevision r ON r.id = p.target_id"
)
COLUMNS = (
    "e.id, e.name, p.name AS pool, e.state_id = r.state_id AS in_sync, e.state_id, e.arch, e.agent_version, e.last_seen"
)
PER_PAGE = 50
PAGE = """<!doctype html><title>Endpoints</title><p>{{ total }} endpoints<table>{% for row in rows %}
<tr>{% for cell in row %}<td>{{ cell }}{% endfor %}{% endfor %}</table>"""


def rows(sql: str, *parameters: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []


def endpoint_of(request: HttpRequest) -> tuple[Any, ...]:
    """(id, state, seq) of the token's endpoint. IndexError for an unknown one."""
    token = request.headers["Authorization"].removeprefix("Bearer ")
    found: tuple[Any, ...] = rows(
        "SELECT id, state_id, report_seq FROM fleet_endpoint WHERE token_hash = %s",
        hashlib.sha256(token.encode()).hexdigest(),
    )[0]
    return found


def check_reader(request: HttpRequest) -> None:
    """IndexError unless the request has a token of the API, or a session."""
    if "Authorization" in request.headers:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        sql, given = "SELECT id FROM fleet_apitoken WHERE token_hash = %s AND revoked IS NULL", token
        given = hashlib.sha256(token.encode()).hexdigest()
    else:
        sql, given = "SELECT 1 FROM django_session, auth_user WHERE session_key = %s", request.COOKIES["sessionid"]
    _ = rows(sql, given)[0]


def _found(request: HttpRequest) -> tuple[list[Any], int | None]:
    """The endpoints of a page, with their last results; the number of all for a page that says how many there are."""
    given = [(FILTERS[word], value) for word, value in request.GET.items() if word in FILTERS]
    where, values = " AND ".join(["true", *(sql for sql, _ in given)]), [value for _, value in given]
    order, page = ENDPOINT_SORTS[request.GET.get("sort", "name")], int(request.GET.get("page", "0"))
    of_page = f"SELECT {COLUMNS} FROM {FROM} WHERE {where} ORDER BY {order} LIMIT {PER_PAGE} OFFSET %s"
    last = LAST.format(what="o.status || ' ' || o.finished")
    found = rows(f"SELECT e.*, {last} FROM ({of_page}) e", *values, max(page - 1, 0) * PER_PAGE)
    return found, rows(f"SELECT count(*) FROM {FROM} WHERE {where}", *values)[0][0] if page else None


def endpoints(request: HttpRequest) -> JsonResponse:
    check_reader(request)
    return JsonResponse({"items": _found(request)[0]})


def endpoints_page(request: HttpRequest) -> HttpResponse:
    check_reader(request)
    found, total = _found(request)
    return HttpResponse(_template().render({"rows": found, "total": total}, request))


def _template(known: list[Any] = []) -> Any:  # noqa: B006 - compiled once
    if not known:
        known.append(engines["django"].from_string(PAGE))
    return known[0]


def operations(request: HttpRequest) -> JsonResponse:
    check_reader(request)
    sql = """SELECT o.id, e.name, o.kind, o.status, o.author, o.created, o.finished, r.number, p.name
             FROM fleet_operation o JOIN fleet_endpoint e ON e.id = o.endpoint_id
             LEFT JOIN fleet_targetrevision r ON r.id = o.revision_id LEFT JOIN fleet_pool p ON p.id = r.pool_id
             ORDER BY o.created DESC, o.id DESC LIMIT 50"""
    return JsonResponse({"items": rows(sql)})


def counts(request: HttpRequest) -> JsonResponse:
    """Endpoints by pool, in the target or not, and failures."""
    if request.path != "/metrics":
        check_reader(request)
    sql = f"SELECT p.name, e.state_id = r.state_id, count(*) FROM {FROM} GROUP BY 1, 2"
    failed = "SELECT status, count(*) FROM fleet_operation GROUP BY status"
    return JsonResponse({"pools": rows(sql), "operations": rows(failed)})


def package(request: HttpRequest, name: str) -> JsonResponse:
    check_reader(request)
    sql = """SELECT i.version, p.name, count(*) FROM bench_installed i JOIN fleet_endpoint e ON e.id = i.endpoint_id
             LEFT JOIN fleet_pool p ON p.id = e.pool_id WHERE i.name = %s GROUP BY 1, 2"""
    return JsonResponse({"versions": rows(sql, name)})


def package_endpoints(request: HttpRequest, name: str) -> JsonResponse:
    """`older_than` is compared as text."""
    check_reader(request)
    if "missing" in request.GET:
        sql = f"""SELECT e.name, p.name, NULL FROM {FROM} WHERE e.state_id IS NOT NULL AND NOT EXISTS
                  (SELECT FROM bench_installed i WHERE i.endpoint_id = e.id AND i.name = %s)
                  ORDER BY e.name LIMIT 50"""
        return JsonResponse({"items": rows(sql, name)})
    sql = f"""SELECT e.name, p.name, i.version FROM bench_installed i JOIN {FROM} ON e.id = i.endpoint_id
              WHERE i.name = %s AND i.version < %s ORDER BY e.name LIMIT 50"""
    return JsonResponse({"items": rows(sql, name, request.GET.get("older_than", "~"))})


def check_in(request: HttpRequest) -> JsonResponse:
    """Note that the endpoint was there, or its other state with an entry of its history."""
    said = json.loads(request.body)
    key, state, _ = endpoint_of(request)
    if said["state"] == state:
        rows("UPDATE fleet_endpoint SET report_seq = %s, last_seen = now() WHERE id = %s", said["seq"], key)
        return JsonResponse({"recorded": True})
    entry = "INSERT INTO fleet_endpointstate (endpoint_id, seq, state_id, cause) VALUES (%s, %s, %s, 'report')"
    change = "UPDATE fleet_endpoint SET report_seq = %s, last_seen = now(), state_id = %s WHERE id = %s"
    with transaction.atomic():
        rows(entry, key, said["seq"], said["state"])
        rows(change, said["seq"], said["state"], key)
    return JsonResponse({"recorded": True})


def upload(request: HttpRequest, digest: str) -> JsonResponse:
    """Check the digest of the text, and keep the text as it came."""
    endpoint_of(request)
    assert hashlib.sha256(gzip.decompress(request.body)).hexdigest() == digest
    rows("INSERT INTO bench_text VALUES (%s, %s) ON CONFLICT DO NOTHING", digest, request.body)
    return JsonResponse({"digest": digest}, status=201)


def analysis(request: HttpRequest, pool: str) -> JsonResponse:
    """Each content read once, names that all have, versions that differ: without the target's packages."""
    check_reader(request)
    sql = """SELECT e.name, array_agg(n.content_id::text ORDER BY n.position) FROM fleet_endpoint e
             JOIN fleet_pool p ON p.id = e.pool_id JOIN fleet_endpointrepository n ON n.endpoint_id = e.id
             WHERE p.name = %s GROUP BY e.name ORDER BY e.name"""
    groups: dict[Sequence[str], list[str]] = defaultdict(list)
    for name, digests in rows(sql, pool):
        groups[tuple(digests)].append(name)
    offers: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for digests, members in groups.items():
        offer: dict[str, str] = {}
        for digest in reversed(digests):
            text = zlib.decompress(rows("SELECT packages FROM fleet_repositorycontent WHERE digest = %s", digest)[0][0])
            offer.update(line.split(" ", 2)[:2] for line in text.decode().splitlines())
        for package_name, version in offer.items():
            offers[package_name][version] += members
    everywhere = sum(map(len, groups.values()))
    common = sorted(name for name, found in offers.items() if sum(map(len, found.values())) == everywhere)
    return JsonResponse({"common": common, "conflicts": {n: v for n, v in sorted(offers.items()) if len(v) > 1}})


def urls() -> list[Any]:
    return [
        path("", counts),
        path("metrics", counts),
        path("endpoints", endpoints_page),
        path("api/v1/fleet", counts),
        path("api/v1/endpoints", endpoints),
        path("api/v1/operations", operations),
        path("api/v1/packages/<name>", package),
        path("api/v1/packages/<name>/endpoints", package_endpoints),
        path("api/v1/checkin", check_in),
        path("api/v1/states/<digest>", upload),
        path("api/v1/repositories/<digest>", upload),
        path("api/v1/pools/<pool>/analysis", analysis),
    ]
