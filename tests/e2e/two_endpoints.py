"""Two endpoints of one pool, of which one is somebody else's, and what a refused sync leaves as it was."""

from tests.support import agent
from tests.support.pacman import Fleet, Machine, Package
from tests.support.site import Site

OLD, NEW, REBUILT, HOSTILE = "2025/01/01", "2025/02/01", "2025/03/01", "2025/04/01"


class Lab:
    """`one` is a machine of an admin, its mirror a link that the test moves; `two` is somebody else's endpoint."""

    def __init__(self, fleet: Fleet, site: Site, *, options: str = "", **policy: object) -> None:
        self.fleet, self.site = fleet, site
        self.old = [fleet.package("base", "1-1"), fleet.package("tool", "1-1")]
        self.new = [fleet.package("base", "1-1"), fleet.package("tool", "2-1")]
        fleet.snapshot(OLD, self.old)
        fleet.snapshot(NEW, self.new)
        self.current = fleet.archive / "repos" / "current"
        self.move(OLD)
        self.one = self.machine("m1", options)
        self.one.install("base", "tool")
        self.two = fleet.machine("m2", NEW, trusting=False)
        self.two.install("base", "tool")
        self.names = site.enroll(site.pool(**policy), self.one, self.two)

    def machine(self, name: str, options: str = "") -> Machine:
        machine = self.fleet.machine(name, "current", trusting=False, options=options)
        return machine

    def move(self, day: str) -> None:
        """What the mirror of `one` has from now on; its database stays what it was."""
        self.current.unlink(missing_ok=True)
        self.current.symlink_to(self.fleet.archive / "repos" / day)

    def set_target(self) -> None:
        agent.run(self.two, "set-latest").ok()

    def evil(self) -> Package:
        """The same name and version with other bytes, in the hands of endpoint two."""
        directory = self.fleet.directory / "evil"
        theirs = Fleet(directory)
        package = theirs.package("tool", "2-1", files={"usr/share/tool/version": b"evil"})
        theirs.snapshot(NEW, [self.old[0], package])
        self.two.configure(f"{theirs.base_url}/repos/{NEW}/$repo/os/$arch")
        self.two.pacman("-Syy")
        self.two.empty_cache()
        self.two.pacman("-S", "tool")
        assert self.two.file("usr/share/tool/version") == b"evil"
        return package


def refused(machine: Machine, code: str = "untrusted_file") -> str:
    """A sync is refused; nothing has changed and nothing is left behind. The message."""
    before, problems = machine.state(), machine.problems()
    kept = sorted(path.name for path in machine.cache.iterdir())
    done = agent.run(machine, "sync", "--json").refused(5 if code == "mirror_failed" else 3)
    assert done.last["code"] == code, done
    assert machine.state() == before and machine.problems() == problems
    assert sorted(path.name for path in machine.cache.iterdir()) == kept
    assert not (agent.state_dir(machine) / "downloads").exists()
    assert not (agent.state_dir(machine) / "private-databases").exists()
    return str(done.last["message"])
