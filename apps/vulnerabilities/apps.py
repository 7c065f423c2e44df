"""Known vulnerabilities: the Arch security tracker's list, joined with what is installed. Knows nothing of HTTP."""

from django.apps import AppConfig


class VulnerabilitiesConfig(AppConfig):
    name = "apps.vulnerabilities"
    label = "vulnerabilities"

    def ready(self) -> None:
        from apps.vulnerabilities import chores

        chores.register()
