"""The marker that older agents installed to have packages removed: an empty package, to be removed where it was left.

It must not know what a transaction is made of now.
"""

from __future__ import annotations

NAME = "pacsync-transaction"
REMOVAL = ("-R", "--noconfirm", "--noprogressbar", "--noscriptlet", "--dbonly", NAME)
