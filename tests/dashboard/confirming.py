"""Confirming what a page shows: its form is sent as the page has it. It must not know what is confirmed."""

import html
import re
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


def fields(answer: Any, action: str) -> dict[str, str]:
    """The fields of the page's form that is sent to `action`."""
    _, found, rest = answer.content.decode().partition(f'action="{action}"')
    assert found, action
    form = rest.partition("</form>")[0]
    return {name: html.unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', form)}


def sync(client: Client, name: str) -> Any:
    """Press Sync on an endpoint's page."""
    path = f"/endpoints/{name}/sync"
    return client.post(path, fields(client.get(f"/endpoints/{name}"), path))
