"""OpenPGP keys made for a test, by the real gpg: good ones, expired ones, revoked ones; and what they sign.

It must not know what is signed, nor who verifies it.
"""

import subprocess
from pathlib import Path

LONG_AGO = "20200101T000000"
SHORTLY_AFTER = "20200201T000000"


class Keys:
    """A gpg home: a packager's with secret keys, or a machine's with the public keys that it knows."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir(mode=0o700, parents=True, exist_ok=True)

    def gpg(self, *arguments: object, data: bytes = b"", when: str = "") -> bytes:
        """What gpg wrote. AssertionError with its complaints when it fails. `when`: the time that it believes it is."""
        command = ["gpg", "--homedir", str(self.home), "--batch", "--yes", "--quiet", "--no-permission-warning"]
        command += ["--pinentry-mode", "loopback", "--passphrase", ""]
        command += ["--faked-system-time", f"{when}!"] if when else []
        done = subprocess.run([*command, *map(str, arguments)], input=data, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def make(self, name: str, *, expired: bool = False) -> str:
        """A signing key made long ago; its fingerprint. An expired one was valid for half a year."""
        user = f"{name} <{name}@example.invalid>"
        self.gpg("--quick-gen-key", user, "ed25519", "sign", "6m" if expired else "0", when=LONG_AGO)
        listed = self.gpg("--list-keys", "--with-colons", f"{name}@example.invalid").decode().splitlines()
        return next(line.split(":")[9] for line in listed if line.startswith("fpr:"))

    def revoke(self, key: str) -> None:
        """Revoke the key with the certificate that gpg made along with it."""
        certificate = (self.home / "openpgp-revocs.d" / f"{key}.rev").read_text()
        self.gpg("--import", data=certificate.replace(":-----BEGIN", "-----BEGIN").encode())

    def export(self, *keys: str) -> bytes:
        return self.gpg("--export", *keys)

    def learn(self, public: bytes, *trusted: str) -> None:
        """Import public keys; those of `trusted` are trusted fully."""
        self.gpg("--import", data=public)
        if trusted:
            self.gpg("--import-ownertrust", data="".join(f"{key}:6:\n" for key in trusted).encode())

    def sign(self, path: Path, key: str, *, when: str = "", options: tuple[str, ...] = ()) -> Path:
        """Sign the file with the key, beside it; the signature's path."""
        signature = path.with_name(path.name + ".sig")
        self.gpg("--local-user", key, *options, "--output", signature, "--detach-sign", path, when=when)
        return signature

    def stop(self) -> None:
        """End the agent that gpg started for this home."""
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], capture_output=True, check=False)
