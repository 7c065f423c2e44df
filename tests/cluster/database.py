"""PostgreSQL in a pod of the cluster, which a test stops, freezes and starts again. It must not know who uses it.

The pod's first process is not PostgreSQL's, so that the pod keeps its address while PostgreSQL is stopped, and so that
the signal that freezes a process reaches all of PostgreSQL's.
"""

from tests.cluster.kubectl import Cluster
from tests.deploy.engine import POSTGRES

NAMESPACE, POD = "pacsync-test", "postgres"
HOST = f"{POD}.{NAMESPACE}"
USER, PASSWORD, NAME = "pacsync", "of-this-test", "pacsync"
URL = f"postgresql://{USER}:{PASSWORD}@{HOST}:5432/{NAME}"
DATA, BACKUP = "/var/lib/postgresql/data", "/tmp/pacsync.dump"
# What is measured is the server, not the disk.
OPTIONS = "-c listen_addresses=* -c fsync=off"
AS_POSTGRES = ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups")
MAKE = f"""
initdb -D {DATA} -U {USER} --encoding=UTF8 --locale=C.UTF-8 \
  --auth-local=trust --auth-host=scram-sha-256 --pwfile=<(echo {PASSWORD}) >/dev/null
echo 'host all all all scram-sha-256' >>{DATA}/pg_hba.conf
"""
SIGNAL = (
    'for process in /proc/[0-9]*; do [ "$(cat $process/comm)" != postgres ] || kill -"$0" ${process#/proc/}; done; true'
)


class Database:
    """A PostgreSQL that is made, but not started yet."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        metadata = {"name": POD, "namespace": NAMESPACE}
        wait = ["bash", "-c", "trap 'exit 0' TERM; sleep infinity & wait"]
        container = {
            "name": POD,
            "image": POSTGRES,
            "imagePullPolicy": "IfNotPresent",
            "command": wait,
            "volumeMounts": [{"name": "data", "mountPath": DATA}],
        }
        pod = {"containers": [container], "volumes": [{"name": "data", "emptyDir": {}}]}
        service = {"selector": {"app": POD}, "ports": [{"port": 5432}]}
        cluster.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
            {"apiVersion": "v1", "kind": "Pod", "metadata": {**metadata, "labels": {"app": POD}}, "spec": pod},
            {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
        )
        cluster("-n", NAMESPACE, "wait", "--for=condition=Ready", f"pod/{POD}", "--timeout=180s", timeout=200)
        self.inside("chown", "postgres", DATA)
        self.inside(*AS_POSTGRES, "bash", "-euc", MAKE)

    def inside(self, *command: object, **options: object) -> str:
        """Run a program in the pod; its standard output."""
        return self.cluster("-n", NAMESPACE, "exec", POD, "--", *command, **options)

    def _control(self, action: str, *options: str) -> str:
        return self.inside(*AS_POSTGRES, "pg_ctl", "-D", DATA, "-w", *options, action)

    def start(self) -> None:
        """Start it, and make the database at the first time."""
        self._control("start", "-l", f"{DATA}/log", "-o", OPTIONS)
        if NAME not in self.sql("SELECT datname FROM pg_database", database="postgres").split():
            self.make_empty()

    def stop(self) -> None:
        """Every connection ends at once, and new ones are refused."""
        self._control("stop", "-m", "immediate")

    def freeze(self) -> None:
        """It takes connections and answers nothing."""
        self.inside("bash", "-c", SIGNAL, "STOP")

    def thaw(self) -> None:
        self.inside("bash", "-c", SIGNAL, "CONT")

    def recover(self) -> None:
        """Make it run, whatever a test has left."""
        self.thaw()
        if self.cluster.attempt("-n", NAMESPACE, "exec", POD, "--", "pg_isready", "-qU", USER).returncode:
            self.start()

    def make_empty(self) -> None:
        self.inside("dropdb", "-U", USER, "--force", "--if-exists", NAME)
        self.inside("createdb", "-U", USER, NAME)

    def dump(self) -> None:
        self.inside("pg_dump", "-U", USER, "-Fc", "-f", BACKUP, NAME)

    def restore(self) -> None:
        self.inside("pg_restore", "-U", USER, "-d", NAME, "--exit-on-error", BACKUP)

    def sql(self, statement: str, *, database: str = NAME) -> str:
        return self.inside("psql", "-qAtX", "-U", USER, "-d", database, "-c", statement)
