"""`manage.py create_enrolment_code`: the code with which a machine becomes an endpoint. Prints the code, once."""

from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.api.management.console import ACTOR, clear_errors
from apps.fleet import endpoint_manager, enrolment, limits
from apps.fleet.models import Pool
from apps.lifecycle.management.output import TellingCommand

# Only for people: a program that reads the code from the output gets nothing else.
ELSEWHERE = "With --server URL it prints the line that enrols a machine; the page /enrol of the server has it, too."


class Command(TellingCommand):
    help = (
        "Make an enrolment code and print it; with --server, the line that enrols a machine with it. It is shown only "
        "once, because only its hash is stored."
    )
    example = "--pool web --uses 10 --server https://pacsync.example"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--pool", metavar="NAME", help="the pool that machines with this code join")
        parser.add_argument(
            "--uses", metavar="N", type=int, default=1, help="how many machines may use it (default: %(default)s)"
        )
        parser.add_argument("--valid-hours", metavar="H", type=int, default=24, help="default: %(default)s")
        parser.add_argument(
            "--may-set-targets",
            action="store_true",
            help="machines with this code may make their own packages the target of their pool",
        )
        parser.add_argument(
            "--server", metavar="URL", help="print the line to run on a machine that reaches this server at URL"
        )

    def handle(
        self,
        *args: Any,
        pool: str | None,
        uses: int,
        valid_hours: int,
        may_set_targets: bool,
        server: str | None,
        **options: Any,
    ) -> None:
        if not 1 <= valid_hours <= limits.ENROLMENT_HOURS:
            raise CommandError(f"--valid-hours must be between 1 and {limits.ENROLMENT_HOURS} (a year).")
        with clear_errors():
            url = None if server is None else enrolment.address(server)
            found = Pool.objects.filter(name=pool).first() if pool is not None else None
            if pool is not None and found is None:
                raise CommandError(
                    f"There is no pool {pool!r}. Create it on the dashboard, or with POST /api/v1/pools."
                )
            _, text = endpoint_manager.create_enrolment_code(
                actor=ACTOR,
                pool=found,
                uses=uses,
                valid_for=timedelta(hours=valid_hours),
                may_set_targets=may_set_targets,
            )
        said = {"pool": pool, "uses": uses, "valid_hours": valid_hours, "may_set_targets": may_set_targets}
        line = None if url is None else enrolment.command(url, text)
        self.tell(options, {"code": text, "line": line, **said}, [line or text])
        if line is None and options["format"] == "text" and self.stdout.isatty():
            self.stderr.write(ELSEWHERE)
