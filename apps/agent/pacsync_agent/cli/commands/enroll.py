"""`enroll`: makes the machine known to a server, keeps the agent running, and says what comes next.

It must not know units or hooks (service.py) or where the code comes from (enrolment_code.py).
"""

from __future__ import annotations

import ipaddress
import platform
import socket
import urllib.parse
from pathlib import Path
from typing import Any, Optional

from ... import settings
from ...checkin import report
from ...context import only_agent
from ...errors import AgentError, Exit, Local, NotAuthorized, Refused
from ...pacman.configuration import PacmanConf
from ...server import enrolment_code, status_file
from ...server.client import ApiError, Client, normalized
from ...server.newest_revision import RevisionSeen
from ...system import disk_full, files
from ...terminal import next_step
from ..call import INTERACTIVE_PATIENCE, Call
from ..command import Command
from ..parser import Parser
from . import service

UNPROTECTED = (
    "{} is reached without TLS: whoever can read the network can read the code and this machine's token, and whoever "
    "can change it can be the server."
)


def enroll(call: Call) -> int:
    """Make this machine known to the server, and keep the token that it gives."""
    if not call.options.server:
        raise Local("server_missing", "Which server? Name it with --server http://HOST:PORT.")
    server = normalized(call.options.server)
    code = enrolment_code.take(call.arguments.code, call.arguments.code_file)
    directory = call.state_dir
    if not call.arguments.force:
        _refuse_enrolled(directory)
    settings.make_state_dir(directory)
    if server.startswith("http:") and not is_loopback(server):
        call.output.warn(UNPROTECTED.format(server))
    with only_agent(directory, wait=call.arguments.wait):
        answer = _ask(call, server, code)
        credentials = settings.Credentials(server, str(answer["id"]), answer["name"], answer["token"])
        settings.save_credentials(directory, credentials)
        files.remove(status_file.path(directory))
        files.remove(RevisionSeen(directory).path)  # it was another server's, or another pool's
        checked_in, reported = _first_report(call)
    state, kept = _keep_running(call)
    name, pool = answer["name"], answer["pool"]
    waits = bool(answer.get("awaits_approval"))
    following = next_step.after_enrolment(server, name, pool, checked_in, awaits_approval=waits)
    reported = "Its packages are reported once an operator has approved it." if waits and checked_in else reported
    where = f"pool {pool}" if pool else "no pool yet"
    lines = [f"Enrolled as {name} at {server}, in {where}. {reported}", kept, f"Next: {following}"]
    call.output.result(
        "\n".join(lines),
        command="enroll",
        name=name,
        server=server,
        pool=pool,
        service=state,
        next=call.output.hints.for_machine(following),
    )
    return Exit.OK


def _refuse_enrolled(directory: Path) -> None:
    """Raise Refused if this machine is enrolled already."""
    if not settings.credentials_path(directory).exists():
        return
    known = settings.load_credentials(directory)
    raise Refused(
        "already_enrolled",
        f"This machine is enrolled already, as {known.name} at {known.server}.",
        "To have its agent keep running, `pacsync-agent service install` is enough. To enrol it again as "
        f"{known.name}, take a code from that endpoint's page on that server (Enrol again), and add --force; or keep "
        "that endpoint, and add --force and another --name.",
    )


def is_loopback(server: str) -> bool:
    """Whether the address of a server leads nowhere but to this machine."""
    host = (urllib.parse.urlsplit(server).hostname or "").rstrip(".")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")  # RFC 6761


def _keep_running(call: Call) -> tuple[str, str]:
    """Keep the agent running from now on; the enrolment doesn't depend on it. The service's state, and a sentence."""
    if call.arguments.no_service:
        return (
            "none",
            "Nothing keeps the agent running, as --no-service says: the server will call the machine offline.",
        )
    try:
        kept = service.install(call, again=True)
        return kept.state, kept.text
    except (AgentError, OSError) as error:
        failed = disk_full.as_agent_error(error) if isinstance(error, OSError) else error
        return "none", f"Nothing keeps the agent running: {_lower(failed.message)} {failed.hint}".rstrip()


def _lower(sentence: str) -> str:
    """The sentence as the end of another one. A path or a name keeps its capital."""
    return sentence[0].lower() + sentence[1:] if sentence[1:2].islower() else sentence


def _first_report(call: Call) -> tuple[Optional[dict[str, Any]], str]:
    """Report at once, so that the server knows the machine's packages; the enrolment doesn't depend on it.

    The server's answer (None: there was none), and a sentence.
    """
    try:
        return report.check_in(call.context()), "Its packages are reported."
    except (AgentError, OSError) as error:
        failed = disk_full.as_agent_error(error) if isinstance(error, OSError) else error
        then = error.hint if isinstance(error, AgentError) and error.hint else "Then run `pacsync-agent once`."
        return None, f"Its packages are not reported yet. {failed.message} {then}"


def _ask(call: Call, server: str, code: str) -> dict[str, Any]:
    name = call.arguments.name or socket.gethostname().partition(".")[0]
    body = {"code": code, "name": name, "arch": _architecture(call.conf)}
    try:
        client = Client(server, stop=call.signals.stop, patience=INTERACTIVE_PATIENCE, proxy=call.options.proxy)
        return client.post("/enroll", body)
    except ApiError as error:
        hint = ""
        if error.code == "name_taken":
            hint = (
                "Choose another one with --name. If this is that endpoint's machine, take a code from its page on the "
                "server (Enrol again)."
            )
        elif error.code == "enrolment_code_invalid":
            hint = "Create one on the server: on its page Enrol, or with `manage.py create_enrolment_code`."
        kind = NotAuthorized if error.status == 403 else Refused
        raise kind(error.code, error.detail, hint) from None


def _architecture(conf: PacmanConf) -> str:
    return next((arch for arch in conf.architectures if arch != "auto"), platform.machine())


def _add_arguments(parser: Parser) -> None:
    code = parser.add_mutually_exclusive_group()
    code.add_argument("--code", help="an enrolment code from the server (psc_…)")
    code.add_argument(
        "--code-file", metavar="FILE", help="a file that contains only the code (- is the standard input)"
    )
    parser.add_argument("--name", help="the name of this machine (default: its host name)")
    parser.add_argument("--force", action="store_true", help="even if it is enrolled already")
    parser.add_argument("--no-service", action="store_true", help="don't keep the agent running")


COMMAND = Command(
    name="enroll",
    help="make this machine known to a server, and keep the agent running",
    examples=(
        "sudo pacsync-agent enroll --server https://pacsync.lan --code psc_…",
        "sudo pacsync-agent enroll --server https://pacsync.lan --code-file ./code     (not seen in `ps`)",
    ),
    run=enroll,
    add_arguments=_add_arguments,
    note="The code may also come from the environment, as PACSYNC_ENROLMENT_CODE.",
    waits=True,
)
