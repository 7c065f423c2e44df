"""A machine whose repository requires signatures, and a target with a newer keyring. Real keys, and a real pacman-key.

It must not know what is done with them.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support import agent
from tests.support.chroot_programs import put_pacman_key
from tests.support.keys import Keys
from tests.support.pacman import Fleet, Package
from tests.support.site import Site

OLD, NEW = "2025/01/01", "2025/02/01"
POPULATE = "post_install() { /usr/bin/pacman-key --populate test; }\npost_upgrade() { post_install; }\n"


class KeyringLab:
    """`one` is enrolled and has everything in version 1; `two` is the target, and checks no signature.

    The packager has the keys `known` and `added`: test-keyring 1-1 has the first, 2-1 both.
    """

    def __init__(self, site: Site) -> None:
        # A short path: the socket of gpg-agent is in it, and may have 107 bytes.
        self.directory = Path(tempfile.mkdtemp(prefix="pacsync-"))
        self.fleet, self.site = Fleet(self.directory), site
        fleet = self.fleet
        self.packager = Keys(fleet.directory / "p")
        self.known, self.added = self.packager.make("known"), self.packager.make("added")
        self.old = [self.signed(self.keyring("1-1", self.known)), self.signed(fleet.package("tool", "1-1"))]
        fleet.snapshot(OLD, self.old)
        fleet.snapshot("current", self.old)
        self.one = fleet.machine("m1", OLD, trusting=False)
        self.two = fleet.machine("m2", OLD, trusting=False)
        for machine in (self.one, self.two):
            machine.install("test-keyring", "tool")
        self._make_keyring()
        self.serve(self.old)
        self.name, _ = site.enroll(site.pool(), self.one, self.two)
        self.set_target()

    def _make_keyring(self) -> None:
        """pacman's keyring, in the root of the machine, as pacman-key makes it; it knows the first key."""
        home = self.one.root / "etc/pacman.d/gnupg"
        home.mkdir(mode=0o755, parents=True)
        (self.one.directory / "gnupg").rmdir()
        (self.one.directory / "gnupg").symlink_to(home)
        put_pacman_key(self.one.root, "[options]\nGPGDir = /etc/pacman.d/gnupg\nArchitecture = x86_64\n")
        public = self.fleet.directory / "known.gpg"
        public.write_bytes(self.packager.export(self.known))
        for words in (["--init"], ["--add", str(public)], ["--lsign-key", self.known]):
            command = ["pacman-key", "--gpgdir", str(home), *words]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
        self.machine_keys = Keys(home)

    def keyring(
        self,
        version: str,
        *keys: str,
        name: str = "test",
        install: str = POPULATE,
        revoked: str = "",
        **lists: list[str],
    ) -> Package:
        """A keyring's package, with the files that pacman-key wants."""
        files = {
            f"usr/share/pacman/keyrings/{name}.gpg": self.packager.export(*keys),
            f"usr/share/pacman/keyrings/{name}-trusted": "".join(f"{key}:4:\n" for key in keys).encode(),
            f"usr/share/pacman/keyrings/{name}-revoked": f"{revoked}\n".encode() if revoked else b"",
        }
        return self.fleet.package(f"{name}-keyring", version, files=files, install=install, **lists)

    def signed(self, package: Package, key: str = "") -> Package:
        self.packager.sign(package.path, key or self.known)
        return package

    def serve(self, packages: list[Package]) -> None:
        """Let the machine's mirror have these packages, with their signatures, and bring its database up to date."""
        self.fleet.snapshot("current", packages)
        directory = self.fleet.archive / "repos/current/core/os/x86_64"
        for package in packages:
            link = directory / f"{package.path.name}.sig"
            link.unlink(missing_ok=True)
            link.symlink_to(package.path.with_name(link.name))
        server = f"{self.fleet.base_url}/repos/current/$repo/os/$arch"
        self.one.configure(server, "SigLevel = Required DatabaseNever")
        self.one.pacman("-Syy")

    def update(self, *packages: Package) -> None:
        """Make these the target, with a mirror that has them."""
        self.fleet.snapshot(NEW, packages)
        self.two.go_to(NEW)
        self.two.upgrade()
        missing = [package.name for package in packages if package.name not in self.two.state()]
        if missing:
            self.two.install(*missing)
        self.serve(list(packages))
        self.set_target()

    def set_target(self) -> None:
        agent.run(self.two, "once", "--report-only").ok()
        agent.run(self.two, "set-latest").ok()

    def usual_update(self) -> None:
        """The newer keyring, signed with the key that is known here, and a tool signed with the one that isn't."""
        self.update(
            self.signed(self.keyring("2-1", self.known, self.added)),
            self.signed(self.fleet.package("tool", "2-1"), self.added),
        )

    def versions(self) -> dict[str, str]:
        return {name: version for name, (version, _) in self.one.state().items()}

    def knows(self, key: str) -> bool:
        """Whether pacman's keyring on the machine has the key."""
        return f"fpr:::::::::{key}:" in self.machine_keys.gpg("--list-keys", "--with-colons").decode()

    def transactions(self) -> int:
        """How many transactions of pacman its log has."""
        return (self.one.directory / "pacman.log").read_text().count("transaction started")

    def stop(self) -> None:
        self.packager.stop()
        self.machine_keys.stop()
        shutil.rmtree(self.directory)
