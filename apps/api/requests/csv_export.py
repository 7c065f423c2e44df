"""Rows as a CSV or JSON Lines file to download. It must not know what the rows are."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja.responses import NinjaJSONEncoder

# Some 20 MB of endpoints. The rest is in the next file, which the header Link points to.
MAX_ROWS = 50_000
MEDIA_TYPES = {"csv": "text/csv", "jsonl": "application/x-ndjson"}
# A spreadsheet would take a text that begins like this as a formula; it skips white space before the sign.
_FORMULA_SIGNS = ("=", "+", "-", "@")
_FORMULA_SPACES = ("\t", "\r", "\n")


def export(
    request: HttpRequest,
    name: str,
    items: Iterable[Mapping[str, Any]],
    columns: Sequence[str],
    *,
    format: str,
    cursor: str | None,
) -> HttpResponse:
    """The items as an attachment `pacsync-NAME.csv` or `.jsonl`. `columns` lists those of the CSV, `a.b` is b in a.

    With `cursor`, which is where the next file begins, the answer has a header Link to it.
    """
    lines = [json.dumps(item, cls=NinjaJSONEncoder, ensure_ascii=False) for item in items]  # written as in the lists
    text = _csv(map(json.loads, lines), columns) if format == "csv" else "".join(f"{line}\n" for line in lines)
    response = HttpResponse(text, content_type=f"{MEDIA_TYPES[format]}; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="pacsync-{name}.{format}"'
    if cursor is not None:
        query = request.GET.copy()
        query["cursor"] = cursor
        response["Link"] = f'<{request.path}?{query.urlencode()}>; rel="next"'
    return response


def _csv(items: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_cell(item, column) for column in columns] for item in items)
    return text.getvalue()


def _cell(item: Any, column: str) -> Any:
    for part in column.split("."):
        item = item.get(part) if isinstance(item, Mapping) else None
    if isinstance(item, str):
        formula = item.startswith(_FORMULA_SPACES) or item.lstrip().startswith(_FORMULA_SIGNS)
        return f"'{item}" if formula else item
    if isinstance(item, bool):
        return "true" if item else "false"
    return json.dumps(item, ensure_ascii=False) if isinstance(item, dict | list) else item
