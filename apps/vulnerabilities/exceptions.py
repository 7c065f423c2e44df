"""Why a list isn't taken. The one before it then stays."""

from apps.lifecycle.printable import one_line

CODES = {
    "list_unreachable": "The address or the file can't be read, or the connection broke.",
    "list_timed_out": "The whole list didn't come in time.",
    "list_refused": "The server answered with an error.",
    "list_redirected": "The server redirects to another scheme, or too often.",
    "list_too_large": "The list has more bytes or entries than are read.",
    "list_not_json": "What came is not JSON.",
    "list_invalid": "The JSON is not a list of advisories, or an entry of it is wrong.",
    "list_empty": "The list has no entries.",
    "list_shrunk": "The list has less than half as many entries as the one before.",
}


class ListRefused(Exception):
    """`code` is one of CODES; the text is a sentence for a person, without secrets of the address.

    What a server has written into it controls no terminal.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(one_line(message))
        if code not in CODES:
            raise ValueError(code)
        self.code = code
