"""Static files with hashed names. A name that was not collected keeps its plain form: a page is no 500 for an icon."""

import logging

from whitenoise.storage import CompressedManifestStaticFilesStorage

logger = logging.getLogger(__name__)


class HashedStaticFilesStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """A file that isn't in the manifest keeps its plain name, instead of making every page (and the 500 page) a 500."""

    manifest_strict = False

    def stored_name(self, name: str) -> str:
        try:
            return str(super().stored_name(name))
        except ValueError:
            logger.warning("static file %s was not collected: run `python manage.py collectstatic`", name)
            return name
