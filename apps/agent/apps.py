"""Serves the endpoint agent, so that a server hands out the agent that speaks its protocol."""

from django.apps import AppConfig


class AgentConfig(AppConfig):
    name = "apps.agent"
    label = "agent"

    def ready(self) -> None:
        """Have the agent built with the server's start. (Its modules are imported then, as all of ours are.)"""
        from apps.lifecycle import loading

        loading.register("the agent", make_agent)


def make_agent() -> None:
    from apps.agent import views

    views.agent_sha256()
