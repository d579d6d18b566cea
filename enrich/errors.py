"""What a user did that we cannot work with: one clear line, exit status 2, no traceback.

    CorkboardError              anything we raise on purpose (exit 1)
    └── BadInput                the input is at fault: expected, found, remedy (exit 2)

Modules with failures of their own (`fetch.UnsafeURL`, `images.BadImage`) derive from BadInput beside their code.
"""

from __future__ import annotations


class CorkboardError(Exception):
    """A failure that is reported as one line."""


class BadInput(CorkboardError):
    """The user's input is at fault; the message says what was expected, what was found and what to do."""


def first_line(error: BaseException, most: int = 300) -> str:
    """The first line of what an error of someone else's says, cut; its type where it says nothing."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:most]
