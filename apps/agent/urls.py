"""The paths below /agent/."""

from django.urls import path

from . import views

app_name = "agent"
urlpatterns = [
    path("pacsync-agent", views.agent, name="agent"),
    path("pacsync-agent.sha256", views.agent_checksum, name="agent-checksum"),
]
