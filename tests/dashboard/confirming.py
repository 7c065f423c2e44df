"""Confirming what a page shows: its form is sent as the page has it. It must not know what is confirmed."""

from typing import Any

from django.test import Client


def seen(client: Client, path: str) -> dict[str, Any]:
    """What the form of the page carries of what it shows."""
    answer = client.get(path)
    assert answer.status_code == 200, (path, answer.status_code)
    return dict(answer.context["form"].initial)


def confirm(client: Client, path: str, **instead: Any) -> Any:
    """Look at the page, then press its button; some fields `instead` of what the page has."""
    return client.post(path, seen(client, path) | instead)
