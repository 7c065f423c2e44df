"""Fills an empty database with a fleet, completely or not at all: for the demo, tests of pages and benchmarks.

It must not know what displays the fleet.
"""

from collections.abc import Sequence

from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connections, transaction

from apps.fleet import package_index, tokens
from apps.fleet.models import Endpoint, Role
from demo import seeding, story
from demo.agents import Agent
from demo.api import Api
from demo.machines import Fare, Fleet
from demo.seeding import Seeded


def migrate() -> None:
    """Create the tables."""
    call_command("migrate", verbosity=0)


def add_people(user: str, password: str) -> str:
    """An administrator for the pages, and the token of an operator for the API."""
    owner = User.objects.create_superuser(user, password=password)
    return tokens.create_api_token(name="demo", role=Role.OPERATOR, actor=f"user:{user}", owner=owner)[1]


def close() -> None:
    """Close the connections: from now on the server uses the database."""
    connections.close_all()


def fill(
    fleet: Fleet | None = None, *, days: tuple[int, ...] = seeding.TARGET_DAYS, with_story: bool = True
) -> list[Seeded]:
    """Write the fleet and, `with_story`, its recent events. Returns every machine with its token.

    One day in `days` is enough for callers that need no history: then a machine has one or two states. Raises
    IntegrityError or NameTaken if there is a fleet already, and doesn't change it.
    """
    with transaction.atomic():
        seeded = list(seeding.seed(fleet or Fleet(), days))
        if with_story:
            story.tell(one.machine for one in seeded)
    package_index.rebuild()
    return seeded


def agents(seeded: Sequence[Seeded], api: Api) -> list[Agent]:
    """The agents of these machines, with the states that the database has."""
    rows = Endpoint.objects.prefetch_related("repositories")
    found = {row.name: row for row in rows.filter(name__in=[one.machine.name for one in seeded])}
    return [_agent(one, found[one.machine.name], api) for one in seeded]


def _agent(seeded: Seeded, endpoint: Endpoint, api: Api) -> Agent:
    return Agent(
        machine=seeded.machine,
        token=seeded.token,
        api=api,
        state=endpoint.state_id or "",
        repositories=[
            {"name": one.name, "digest": one.content_id, "mirrors": one.mirrors} for one in endpoint.repositories.all()
        ],
        holds=endpoint.holds,
        problems=seeding.problems_of(seeded.machine),
        away=seeded.machine.fare in (Fare.SWITCHED_OFF, Fare.SILENT) or endpoint.token_hash is None,
    )
