"""A private CA, and a certificate of it for a server on this machine, as an internal mirror has. Needs openssl."""

import ssl
import subprocess
from pathlib import Path
from typing import NamedTuple

NAMES = "subjectAltName=IP:127.0.0.1,DNS:mirror.example"


class PrivateCa(NamedTuple):
    """`file`: the CA's own certificate (PEM), which a client has to know; `server`: a context with one of the CA."""

    file: Path
    server: ssl.SSLContext


def made_in(folder: Path, *, names: str = NAMES) -> PrivateCa:
    authority, own = folder / "ca.pem", folder / "server.pem"
    _openssl("-subj", "/CN=Private CA", "-keyout", f"{folder / 'ca.key'}", "-out", f"{authority}")
    signed = ("-CA", f"{authority}", "-CAkey", f"{folder / 'ca.key'}")
    _openssl(*signed, "-subj", "/CN=mirror", "-addext", names, "-keyout", f"{folder / 'server.key'}", "-out", f"{own}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own, folder / "server.key")
    return PrivateCa(authority, context)


def _openssl(*arguments: str) -> None:
    command = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *arguments)
    subprocess.run(command, check=True, capture_output=True)


def hash_of(certificate: Path) -> str:
    """The name, without its end, by which OpenSSL looks for the certificate in a directory."""
    command = ("openssl", "x509", "-noout", "-hash", "-in", f"{certificate}")
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
