"""What a test run does not take over from its caller: variables, signal dispositions, umask, home, temporary folder.

It must not know Django, pytest or any test. Only the standard library: it runs before everything else.
"""

import atexit
import contextlib
import fcntl
import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

RUN = "PACSYNC_TEST_RUN_FOLDER"
WORKER, WORKERS = "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"
# What a run keeps of the caller's environment: where programs are, how to reach the container engine and a cluster, and
# what is said to the tests themselves.
KEPT = {
    *("PATH", "TERM", "PACSYNC_TEST_DATABASE", "TEST_DATABASE_URL", "PACSYNC_REQUIRE_ALL", "PACSYNC_NO_ENGINE"),
    "PACSYNC_WORLDS",
    "PROMETHEUS_IMAGE",
    *("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "DOCKER_API_VERSION"),
    *("KUBECONFIG", "PACSYNC_CLUSTER", "PACSYNC_CLUSTER_IMAGE", "PACSYNC_CLUSTER_FAMILY", "CLUSTER_DIR"),
}
# What the first process of a run tells the workers of pytest-xdist.
KEPT_BY_WORKERS = {RUN, WORKER, WORKERS, "PYTEST_XDIST_TESTRUNUID", "PACSYNC_TEST_SERVER"}
SET = {"LC_ALL": "C.UTF-8", "TZ": "UTC"}


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of `environment` on which a run may depend, with the locale and the time zone of all runs."""
    kept = KEPT | KEPT_BY_WORKERS if WORKER in environment else KEPT
    return {name: value for name, value in environment.items() if name in kept} | SET


def isolate() -> Path:
    """Make this process, and what it starts, independent of its caller. Returns the folder of the run.

    The first process of a run makes the folder and deletes it at its end; the workers of pytest-xdist share it.
    """
    reset_signals()
    os.umask(0o022)
    kept = clean(os.environ)
    os.environ.clear()
    os.environ.update(kept)
    tempfile.tempdir = None  # what TMPDIR said may have been noted already
    folder = Path(os.environ.get(RUN) or _new_folder())
    os.environ["HOME"] = str(folder / "home")
    _keep_folders_of_programs()
    return folder


def _keep_folders_of_programs() -> None:
    """Name the folders that Docker's client and pyenv's stand-ins on PATH look for in the real home."""
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    for name, folder in (("DOCKER_CONFIG", home / ".docker"), ("PYENV_ROOT", home / ".pyenv")):
        if folder.is_dir():
            os.environ.setdefault(name, str(folder))


def reset_signals() -> None:
    """Give every signal that is ignored or blocked its default: whatever this process starts inherits that."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    of_python = {signal.SIGPIPE, signal.SIGXFSZ}  # Python ignores them itself, and subprocess resets them
    for number in signal.valid_signals() - of_python:
        if signal.getsignal(number) is signal.SIG_IGN:
            interrupt = number == signal.SIGINT
            signal.signal(number, signal.default_int_handler if interrupt else signal.SIG_DFL)


def _new_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="pacsync-tests-"))
    folder.chmod(0o755)  # PostgreSQL's user goes through it
    (folder / "home").mkdir()
    os.environ[RUN] = str(folder)
    atexit.register(_delete, folder, os.getpid())
    return folder


def _delete(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a fork of the owner inherits what is registered
        shutil.rmtree(folder, ignore_errors=True)


def run_folder() -> Path:
    """The folder of this run; outside of a run one for this process."""
    return Path(os.environ.get(RUN) or _new_folder())


def worker() -> str:
    """The name of this process among those of a run: `gw0`, `gw1` …, or `main` where there is one process."""
    return os.environ.get(WORKER, "main")


def worker_number() -> tuple[int, int]:
    """(which, of how many) processes of the run this one is, counted from 0."""
    name = worker()
    return (int(name[2:]), int(os.environ[WORKERS])) if name.startswith("gw") else (0, 1)


def once(name: str, make: Callable[[Path], object]) -> Path:
    """`name` in the folder of the run. The first process that asks has `make(path)` make it; the others wait for it."""
    path = run_folder() / name
    with _locked(run_folder() / f"{name}.lock"):
        done = run_folder() / f"{name}.done"
        if not done.exists():
            make(path)
            done.touch()
    return path


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
