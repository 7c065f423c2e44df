"""Numbers of reports far ahead of the clock keep no later one from counting. Safe beside the release before.

Such a number is one that a machine with a wrong clock reported, or somebody who had its token. The numbers of histories
with such entries become 1, 2, 3 …, in their order.
"""

import time
from typing import Any

from django.db import migrations

AHEAD = 600  # seconds


def within_reach(apps: Any, schema_editor: Any) -> None:
    endpoints, entries = apps.get_model("fleet", "Endpoint"), apps.get_model("fleet", "EndpointState")
    now = int(time.time() * 1000)
    endpoints.objects.filter(report_seq__gt=now + AHEAD * 1000).update(report_seq=now)
    ahead = entries.objects.filter(seq__gt=now + AHEAD * 1000).order_by().values_list("endpoint", flat=True)
    for endpoint in set(ahead):
        history = entries.objects.filter(endpoint=endpoint).order_by("seq")
        # The entry at a place has at least that number, so no number is there twice at any time.
        for place, key in enumerate(list(history.values_list("pk", flat=True)), start=1):
            entries.objects.filter(pk=key).update(seq=place)


class Migration(migrations.Migration):
    dependencies = [("fleet", "0018_endpoint_identity")]

    operations = [migrations.RunPython(within_reach, migrations.RunPython.noop)]
