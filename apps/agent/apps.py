"""Serves the endpoint agent, so that a server hands out the agent that speaks its protocol."""

from django.apps import AppConfig


class AgentConfig(AppConfig):
    name = "apps.agent"
    label = "agent"
