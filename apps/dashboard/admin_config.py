"""Makes `admin.site` the one of admin_site.py. It must not import models."""

from django.contrib.admin.apps import AdminConfig


class AdminOfAdministrators(AdminConfig):
    default_site = "apps.dashboard.admin_site.Site"
