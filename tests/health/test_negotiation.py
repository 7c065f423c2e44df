"""In which form /health/detailed answers."""

import pytest

from apps.health.detailed.negotiation import Form, choose
from tests.health.conftest import Get

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;"
    "q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, Form.JSON),
        ("", Form.JSON),
        ("*/*", Form.JSON),
        ("application/*", Form.JSON),
        ("image/png", Form.JSON),
        ("application/json", Form.JSON),
        (BROWSER, Form.HTML),
        ("text/html;q=0.5, application/json", Form.JSON),
        ("text/html, application/json;q=0.9", Form.HTML),
        ("text/html;q=0, */*", Form.JSON),
        ("application/json;q=0, text/html;q=0.1", Form.HTML),
        (PROMETHEUS, Form.PROMETHEUS),
        ("text/plain;version=0.0.4", Form.PROMETHEUS),
        ("TEXT/HTML", Form.HTML),
        ("text/html;q=2", Form.JSON),
        ("text/html;q=abc", Form.JSON),
        ("text", Form.JSON),
        ("/", Form.JSON),
        ("*/html", Form.JSON),
        (";;;,,,q=1", Form.JSON),
        ("text/html" + "," * 100_000, Form.HTML),
    ],
)
def test_choose_by_accept(accept: str | None, form: Form) -> None:
    assert choose(accept) is form


@pytest.mark.parametrize("form", list(Form))
def test_choose_override_wins(form: Form) -> None:
    assert choose(BROWSER, form.value) is form


def test_choose_unknown_override_is_refused() -> None:
    with pytest.raises(ValueError, match="xml"):
        choose(BROWSER, "xml")


@pytest.mark.parametrize(
    ("query", "content_type"),
    [
        ("format=json", "application/json"),
        ("format=html", "text/html; charset=utf-8"),
        ("format=prometheus", "text/plain; version=0.0.4; charset=utf-8"),
        ("format=openmetrics", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ],
)
@pytest.mark.parametrize("accept", [BROWSER, PROMETHEUS, "application/json"])
def test_detailed_format_decides_whatever_the_header_says(get: Get, query: str, content_type: str, accept: str) -> None:
    assert get(f"/health/detailed?{query}", Accept=accept).headers["Content-Type"] == content_type


@pytest.mark.parametrize("query", ["format=json&format=html", "format=json&format=json", "format=json&x=1&format=yaml"])
def test_detailed_format_given_twice_is_refused(get: Get, query: str) -> None:
    answer = get(f"/health/detailed?{query}", Accept=BROWSER)
    assert (answer.status, answer.json["status"]) == (400, "bad_request")
    assert answer.json["detail"] == "format is given more than once: give it once."


@pytest.mark.parametrize("query", ["format=xml", "format=", "format=JSON"])
def test_detailed_unknown_format_is_refused_with_the_known_ones(get: Get, query: str) -> None:
    answer = get(f"/health/detailed?{query}", Accept=BROWSER)
    assert (answer.status, answer.json["status"]) == (400, "bad_request")
    assert all(form in answer.json["detail"] for form in ("json", "html", "prometheus", "openmetrics"))


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", "application/json"),
        (BROWSER, "text/html; charset=utf-8"),
        (PROMETHEUS, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("text/plain", "text/plain; version=0.0.4; charset=utf-8"),
    ],
)
def test_detailed_content_type_follows_accept(get: Get, accept: str, content_type: str) -> None:
    answer = get("/health/detailed", Accept=accept)
    assert answer.headers["Content-Type"] == content_type
    assert "Accept" in answer.headers["Vary"]


def test_detailed_unhealthy_status_line_is_503_except_for_a_scraper(get: Get) -> None:
    assert get("/health/detailed").status == get("/health/detailed?format=html").status == 503
    assert get("/health/detailed?format=prometheus").status == get("/metrics").status == 200
