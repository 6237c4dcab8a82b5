"""What both sandbox models share: how they refuse, how they check a body, how they lock."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from typing import Concatenate, ParamSpec, Protocol, TypeVar

Record = dict[str, object]
Check = Callable[[str, object], None]


class Problem(Exception):
    """A request that the API refuses: the HTTP status and the text of its answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def checked(body: object, checks: Mapping[str, Check]) -> Record:
    """The body as it came, if it is an object of known fields with the right types.

    Raises Problem 400 for anything else.
    """
    if not isinstance(body, dict):
        raise Problem(400, "The body must be a JSON object.")
    for field, value in body.items():
        if field not in checks:
            raise Problem(400, f"Field {field} is not supported.")
        checks[field](field, value)
    return dict(body)


def text(field: str, value: object) -> None:
    if not isinstance(value, str):
        raise Problem(400, f"Field {field} must be a string.")


def filled_text(field: str, value: object) -> None:
    text(field, value)
    if not str(value).strip():
        raise Problem(400, f"Field {field} must not be empty.")


def whole_number(field: str, value: object) -> None:
    if type(value) is not int:
        raise Problem(400, f"Field {field} must be a whole number.")


def flag(field: str, value: object) -> None:
    if not isinstance(value, bool):
        raise Problem(400, f"Field {field} must be true or false.")


def nullable(check: Check) -> Check:
    """The same check, which null passes."""

    def check_unless_null(field: str, value: object) -> None:
        if value is not None:
            check(field, value)

    return check_unless_null


class _Locked(Protocol):
    @property
    def lock(self) -> threading.RLock: ...


_Self = TypeVar("_Self", bound=_Locked)
_Params = ParamSpec("_Params")
_Result = TypeVar("_Result")


def locked(
    method: Callable[Concatenate[_Self, _Params], _Result],
) -> Callable[Concatenate[_Self, _Params], _Result]:
    """A method that holds its object's lock while it runs."""

    @functools.wraps(method)
    def under_lock(self: _Self, /, *args: _Params.args, **kwargs: _Params.kwargs) -> _Result:
        with self.lock:
            return method(self, *args, **kwargs)

    return under_lock
