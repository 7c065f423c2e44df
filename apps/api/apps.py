"""The REST API /api/v1. Thin routes: it parses, calls apps.fleet, renders."""

from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "apps.api"
    label = "api"
