"""PacSync's own application in a worker whose threads answer probes, as a WSGI module for gunicorn."""

from pacsync.wsgi import application as application
from tests.support.probes_in_threads import answer_probes_in_threads

answer_probes_in_threads()
