"""What the dashboard tells its user on the next page. It must not know what was done."""

from typing import Any

from django.contrib.messages import get_messages


def said(answer: Any) -> str:
    """The messages that the answer left for the next page."""
    return " ".join(str(message) for message in get_messages(answer.wsgi_request))
