"""Traefik in front of the Service, in a cluster of our own. It must not know what is sent through it.

It is a process of the first node, not a pod: what it answers with is the same, but a NetworkPolicy knows it by address.
"""

import subprocess
from pathlib import Path

from tests.cluster import which
from tests.cluster.kubectl import Cluster, Document
from tests.cluster.traffic import HOST, NAMESPACE, Door
from tests.deploy.engine import run

CLASS, PORT, SECRET = "traefik", 8443, "pacman-sync-utility-tls"


class Front:
    """A controller of Ingresses and Gateways at HOST. `folder` is for the certificate, which only the tests trust."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        which.start_controller()
        self.cluster, self.address = cluster, cluster.addresses()[0]
        self.certificate, self.key = folder / "front.crt", folder / "front.key"
        names = ("-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}")
        make = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names)
        run(*make, "-keyout", self.key, "-out", self.certificate)

    @property
    def door(self) -> Door:
        # It says itself that the request came by HTTPS.
        return Door(HOST, PORT, {}, self.certificate.read_text())

    def secret(self, namespace: str = NAMESPACE) -> Document:
        """The certificate and its key, under the name that the Ingress gives them."""
        data = {"tls.crt": self.certificate.read_text(), "tls.key": self.key.read_text()}
        metadata = {"name": SECRET, "namespace": namespace}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": metadata,
            "stringData": data,
        }

    def gateway(self, name: str, namespace: str) -> list[Document]:
        """A Gateway that ends TLS and takes the routes of all namespaces."""
        listener = {
            "name": "https",
            "port": PORT,
            "protocol": "HTTPS",
            "tls": {"mode": "Terminate", "certificateRefs": [{"name": SECRET}]},
            "allowedRoutes": {"namespaces": {"from": "All"}},
        }
        return [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
            self.secret(namespace),
            {
                "apiVersion": "gateway.networking.k8s.io/v1",
                "kind": "Gateway",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"gatewayClassName": CLASS, "listeners": [listener]},
            },
        ]

    def status(self, path: str = "/health/live") -> int:
        """What a client outside of the cluster gets that trusts only this certificate; 0 without an answer."""
        return int(self._ask(path).stdout or 0)

    def _ask(self, path: str) -> subprocess.CompletedProcess[str]:
        host = f"[{self.address}]" if ":" in self.address else self.address
        there = ("--cacert", self.certificate, "--connect-to", f"{HOST}:{PORT}:{host}:{PORT}")
        ask = ("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "10", *there)
        return run(*ask, f"https://{HOST}:{PORT}{path}", check=False)
