"""What a target can have made of a value that it was sent (R2, R3). Pure.

How Testably stores text is not documented: it may cut it, trim it, or set dashes and addresses
otherwise. Reduced to letters and digits, what is left of a text is the text or a beginning of it.
"""

from __future__ import annotations

from typing import Final

from mappings.text import plain_text

LEAST_BEGINNING: Final = 20
"""So many letters and digits of a description tell it from others."""


def reduced(text: str | None) -> str:
    """The letters and digits of a text, whatever stands between them."""
    return "".join(filter(str.isalnum, plain_text(text)))


def can_be_description(shown: str | None, sent: str | None) -> bool:
    """Whether a description can be what is left of the one that was sent."""
    one, other = reduced(shown), reduced(sent)
    return one == other or (len(one) >= LEAST_BEGINNING and other.startswith(one))


def can_be_name(shown: str, sent: str) -> bool:
    """Whether a name, `reduced`, can be what is left of the one that was sent, `reduced`."""
    return shown == sent or (shown != "" and sent.startswith(shown))


def can_be_rest(field_name: str, shown: str | None, sent: str | None) -> bool:
    """Whether a value is what is left of the one that was sent: cut, or a date without its time.

    It asks less than the two above, of a target that nobody has edited since.
    """
    if not shown or not sent:
        return False
    if field_name in ("start_date", "due_date"):
        return shown == f"{sent[:10]}T00:00:00Z"
    return field_name in ("name", "description") and can_be_name(reduced(shown), reduced(sent))
