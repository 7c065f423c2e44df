"""The WSGI application that gunicorn serves. It only puts the layers in their order."""

import os

from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pacsync.settings")

from apps.lifecycle import loading, options

options.require_our_configuration()
django_application = loading.load()  # first: it loads the apps

from apps.health.wsgi import MeasureLayer, ProbeLayer  # noqa: E402
from apps.lifecycle import serving  # noqa: E402
from apps.lifecycle.bulkhead import Bulkhead  # noqa: E402
from apps.lifecycle.forwarded import ForwardedAddress  # noqa: E402

# Probes pass outside the bulkhead, so that a saturated instance still answers them; what it refuses is counted too.
bulkhead = Bulkhead(
    django_application,
    limit=settings.WEB_REQUEST_LIMIT,
    queue=settings.WEB_QUEUE_SIZE,
    patience=settings.WEB_QUEUE_TIMEOUT,
)
probes = ProbeLayer(MeasureLayer(bulkhead), begin=serving.begin)
application = ForwardedAddress(probes, trusted=settings.FORWARDED_ALLOW_IPS)
