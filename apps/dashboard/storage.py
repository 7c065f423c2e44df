"""Static files with hashed names. A missing icon must not make a page a 500."""

import functools
import logging

from whitenoise.storage import CompressedManifestStaticFilesStorage

logger = logging.getLogger(__name__)


class HashedStaticFilesStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """A file that isn't in the manifest keeps its plain name. Otherwise every page would be a 500, the 500 page too."""

    manifest_strict = False
    support_js_module_import_aggregation = True  # a module imports the others by their hashed names, too

    def stored_name(self, name: str) -> str:
        try:
            return str(super().stored_name(name))
        except ValueError:
            warn(name)
            return name


@functools.cache  # once for each name, not for each page
def warn(name: str) -> None:
    logger.warning("static file %s was not collected: run `python manage.py collectstatic`", name)
