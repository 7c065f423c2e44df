"""The WSGI application that gunicorn serves. It only puts the layers in their order.

Whatever a request may need is loaded here, before a worker is ready; what fails there ends the worker, and the start.
"""

import logging
import os

from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pacsync.settings")
try:
    from apps.lifecycle import preloading
    from apps.lifecycle.gunicorn import options

    options.require_our_configuration()
    django_application = preloading.load()  # first: it loads the apps
except Exception as error:
    logging.getLogger("pacsync").critical("%s", error, exc_info=error.__cause__ or error)
    raise SystemExit(3) from error  # gunicorn's WORKER_BOOT_ERROR: the master ends with it, too

from apps.health.wsgi import MeasureLayer, ProbeLayer
from apps.lifecycle.work import serving
from apps.lifecycle.wsgi.bulkhead import Bulkhead
from apps.lifecycle.wsgi.forwarded_address import ForwardedAddress

# Probes pass outside the bulkhead, so that a saturated instance still answers them; what it refuses is counted too.
bulkhead = Bulkhead(
    django_application,
    limit=settings.WEB_REQUEST_LIMIT,
    queue=settings.WEB_QUEUE_SIZE,
    patience=settings.WEB_QUEUE_TIMEOUT,
)
probes = ProbeLayer(MeasureLayer(bulkhead), begin=serving.begin)
application = ForwardedAddress(probes, trusted=settings.FORWARDED_ALLOW_IPS)
