"""The web pages for people. It renders what apps.fleet says and holds no rule."""

from django.apps import AppConfig


class DashboardConfig(AppConfig):
    name = "apps.dashboard"
    label = "dashboard"
