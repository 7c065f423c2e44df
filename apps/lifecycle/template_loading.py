"""Compiles every template, and looks up what our templates name: other templates, URLs, static files.

It must not know what a page shows. Only tests find faults that depend on a page's values.
"""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.storage import staticfiles_storage
from django.template import TemplateDoesNotExist, engines
from django.template.backends.django import DjangoTemplates
from django.template.base import Node, Template
from django.template.defaulttags import URLNode
from django.template.loader import get_template
from django.template.loader_tags import ExtendsNode, IncludeNode
from django.templatetags.static import StaticNode
from django.urls import get_resolver

logger = logging.getLogger(__name__)

OURS = __name__.partition(".")[0]


class TemplateBroken(Exception):
    """The text names the file, the line if it is known, and the cause."""


def load_all(named: Iterable[str]) -> None:
    """Compile all templates, and check that those in `named` exist.

    Raises TemplateBroken, or what a broken tag library or context processor raises.
    """
    for backend in engines.all():
        if isinstance(backend, DjangoTemplates):
            backend.engine.template_context_processors  # noqa: B018 - imported at the first use
            for folder, name in files(backend):
                load_one(backend, folder, name)
    for name in named:
        try:
            get_template(name)
        except TemplateDoesNotExist:
            raise TemplateBroken(f"a view names the template {name}, which does not exist") from None
    warn_without_manifest()


def files(backend: DjangoTemplates) -> Iterator[tuple[Path, str]]:
    """(folder, name) of each template that can be asked for."""
    for folder in dict.fromkeys(Path(folder) for folder in backend.template_dirs):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.name.startswith(".") and not path.name.endswith("~"):
                yield folder, path.relative_to(folder).as_posix()


def load_one(backend: DjangoTemplates, folder: Path, name: str) -> None:
    """Compile the template, and look up what it names."""
    try:
        template = backend.get_template(name).template
        if _is_ours(template):  # those of Django and of packages are right, but not all of them work with our settings
            check_names(backend, template)
    except TemplateBroken as error:
        raise TemplateBroken(f"{folder / name}: {error}") from error
    except Exception as error:
        token = getattr(error, "token", None)
        line = f", line {token.lineno}" if token is not None else ""
        raise TemplateBroken(f"{folder / name}{line}: {type(error).__name__}: {error}") from error


def _is_ours(template: Template) -> bool:
    return f"/{OURS}/" in str(template.origin.name) and "site-packages" not in str(template.origin.name)


def check_names(backend: DjangoTemplates, template: Template) -> None:
    """Check that the templates, URLs and static files that the template names exist."""
    for node in _nodes(template.nodelist):
        if isinstance(node, ExtendsNode):
            _find(backend, _constant(node.parent_name), template)
        elif isinstance(node, IncludeNode):
            _find(backend, _constant(node.template), template)
        elif isinstance(node, URLNode) and not node.asvar:
            _check_url(_constant(node.view_name))
        elif isinstance(node, StaticNode):
            _check_static(_constant(node.path))


def _nodes(nodelist: Any) -> Iterable[Node]:
    return nodelist.get_nodes_by_type(Node)  # type: ignore[no-any-return]


def _constant(expression: Any) -> str | None:
    """The text of an expression that needs no values: a constant without filters."""
    value = getattr(expression, "var", None)
    return value if isinstance(value, str) and not expression.filters else None


def _find(backend: DjangoTemplates, name: str | None, template: Template) -> None:
    if name is None or name == template.name:  # it extends the one of the same name in another app
        return
    try:
        backend.get_template(name)
    except TemplateDoesNotExist:
        raise TemplateBroken(f"it names the template {name}, which does not exist") from None


def _check_url(name: str | None) -> None:
    """Check that there is a URL with this name; its arguments depend on the page."""
    if name is None:
        return
    *spaces, last = name.split(":")
    resolver = get_resolver()
    for space in spaces:
        if space not in resolver.namespace_dict:
            raise TemplateBroken(f"it names the URL {name}, which does not exist")
        resolver = resolver.namespace_dict[space][1]
    if last not in resolver.reverse_dict:
        raise TemplateBroken(f"it names the URL {name}, which does not exist")


# --- static files -----------------------------------------------------------------------------------------------------
def warn_without_manifest() -> None:
    """Hashed names come from the list that `collectstatic` makes. Without it pages work, but have no style."""
    if _hashed_names() == {}:
        logger.warning(
            "the static files were not collected, so pages have no style: run `python manage.py collectstatic` (%s)",
            settings.STATIC_ROOT,
        )


def _hashed_names() -> dict[str, str] | None:
    """Each static file's name, with the name that has its hash; None if names have no hashes."""
    return getattr(staticfiles_storage, "hashed_files", None)


def _check_static(name: str | None) -> None:
    known = _hashed_names()
    if name is not None and known and name not in known:
        raise TemplateBroken(f"it names the static file {name}, which was not collected")
