"""R11: everything that is read is bounded, in memory and in number; here are the numbers.

With them reading takes less than 250 MB whatever a server sends, and a project of a hundred
thousand milestones is read all the same; what a run decides about new ones takes more. A TestRail
list that goes on after that ends the run: nobody wants the first part of it in Testably. A Testably
list that does so is incomplete (R4).
Times: `worker.clients.connection` for a request, and whoever waits for a permit for the work in
all.
"""

from __future__ import annotations

from typing import Final

from worker.errors import AnswerTooLarge

LARGEST_ANSWER: Final = 8 * 1024 * 1024
"""Bytes of one answer, decompressed: a page of 250 milestones of 30 KB each."""

MOST_OBJECTS: Final = 150_000
"""Objects and arrays in one answer: an empty one takes thirty times its length in memory."""

MOST_VALUES: Final = 600_000
"""Values in one answer, by its commas: twice as many as a full answer of milestones has."""

PAGE_FACTOR: Final = 10
SMALLEST_MOST: Final = 250
"""A page may hold ten times the rows that were asked for, and a page's usual number in any case."""

MOST_BYTES: Final = 160 * 1024 * 1024
"""Bytes of all answers of one list, decompressed."""

MOST_ROWS: Final = 125_000
"""Milestones of one project, at either side, those that cannot be read among them."""

MOST_PAGES: Final = 12_500
"""Pages of one list: ten rows a page at the least, if there are as many rows as may be."""

MOST_PROBLEMS: Final = 2_000
"""Records of one list that cannot be read and are kept with their reasons."""

DEEPEST: Final = 20
"""Levels of nesting, of milestones in milestones and of values in a raw record."""

TRIES: Final = 3
"""So often a list is read that comes incomplete, or changes between the slices of its reading."""

MOST_BYTES_IN_WORDS: Final = f"{MOST_BYTES // 1024 // 1024} MiB of milestones"


def most_of_page(asked: int) -> int:
    """How many rows a page may hold for which so many were asked."""
    return max(asked * PAGE_FACTOR, SMALLEST_MOST)


class TooMuchError(ValueError):
    """More was sent than is read; the text says what, to stand behind "answered … with"."""


def list_too_long(api: str, most: str) -> AnswerTooLarge:
    """The error of a project's list that goes on after so much: a part of it tells nothing."""
    return AnswerTooLarge(
        api,
        f"{api} lists more than {most} in this project, which is more than milesync reads",
        hint="Check the address and the project's id. If it has that many, split the project.",
    )


def too_large_at_last(error: AnswerTooLarge) -> AnswerTooLarge:
    """The error of a page that stays too large although a single milestone was asked for."""
    return AnswerTooLarge(
        error.api,
        f"{error.message}, although a single milestone was asked for",
        status=error.status,
        hint="Check that the base URL is the API's, and shorten what that milestone holds.",
    )
