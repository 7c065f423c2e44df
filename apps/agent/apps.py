"""Serves the endpoint agent, so that a server hands out the agent that speaks its protocol."""

from django.apps import AppConfig


class AgentConfig(AppConfig):
    name = "apps.agent"
    label = "agent"

    def ready(self) -> None:
        """Have the agent built with the server's start. (Its modules are imported then, as all of ours are.)"""
        from apps.fleet import agent_file
        from apps.lifecycle import preloading

        preloading.register("the agent", sha256)
        agent_file.register(sha256)


def sha256() -> str:
    """The checksum of the agent, in hexadecimal digits; it is built for that, once in each process."""
    from apps.agent import views

    return views.agent_sha256().hex()
