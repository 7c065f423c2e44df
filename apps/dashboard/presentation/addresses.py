"""The addresses of pages about one thing, for tables that link to many of them. It must not know what is on a page.

Django looks through all addresses for each that it makes. Here it does so once for each page.
"""

import functools
from urllib.parse import quote

from django.urls import get_script_prefix, reverse

# A name, a package's name and a key at the same time.
_ANY = "00000000-0000-0000-0000-000000000000"


def address(page: str, name: object) -> str:
    """As `reverse(page, args=[name])`, for a page with exactly one argument in its address."""
    before, after = _around(page, get_script_prefix())
    return before + quote(str(name), safe="+@") + after


@functools.cache
def _around(page: str, prefix: str) -> tuple[str, str]:
    """What is before and after the argument, below this prefix of all addresses."""
    before, _, after = reverse(page, args=[_ANY]).partition(_ANY)
    return before, after
