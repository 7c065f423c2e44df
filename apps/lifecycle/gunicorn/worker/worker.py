"""gunicorn's gthread worker as PacSync runs it: its threads never wait for a client, and its main loop answers probes.

The main loop reads a request, hands it over when all of it has arrived, and writes what the client doesn't take of the
answer at once. So a client that drips, stalls or reads nothing costs a socket but no thread. It must not know what a
request says. Each part is a module that states its reason, its upstream issues, and when to remove it.
"""

from apps.lifecycle.gunicorn.worker.graceful_exit import GracefulExit
from apps.lifecycle.gunicorn.worker.head_errors import HeadErrors
from apps.lifecycle.gunicorn.worker.probes_in_main_loop import ProbesInMainLoop
from apps.lifecycle.gunicorn.worker.slow_clients import SlowClientLimits
from apps.lifecycle.gunicorn.worker.whole_heads import WholeHeads
from apps.lifecycle.gunicorn.worker.whole_requests import WholeRequests


class Worker(GracefulExit, ProbesInMainLoop, HeadErrors, WholeHeads, WholeRequests, SlowClientLimits):
    """The order of the bases matters in only two places.

    ProbesInMainLoop comes before WholeRequests, whose `begin_with_body` and `begin_without_body` it calls for whatever
    isn't a probe. GracefulExit comes before SlowClientLimits: both extend `set_accept_enabled`, and a worker reports
    that it accepts only after its listeners are set up. Every part derives from Connections, which derives from
    gunicorn's class, so any part can be removed from this line.
    """
