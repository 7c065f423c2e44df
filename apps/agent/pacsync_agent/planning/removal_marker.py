"""The empty package that older agents installed to have packages removed; it is removed where one was left.

It must not know how transactions work now.
"""

from __future__ import annotations

NAME = "pacsync-transaction"
REMOVAL = ("-R", "--noconfirm", "--noprogressbar", "--noscriptlet", "--dbonly", NAME)
