"""What `milesync init` asks: each answer is tried at the side that it is for, and asked again.

What the environment, a ``.env`` or an option has set already is used and not asked for.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mappings.errors import MilesyncError
from worker.cli.ask import ask, ask_hidden, confirm, say, say_refused
from worker.cli.questions import (
    KEY,
    NOTHING,
    PROJECTS,
    QUESTIONS,
    SCHEDULE,
    SECRETS,
    TARGET_URL,
    TOKEN,
    URL,
    USER,
    ZONE,
    cleaned,
    refused,
)
from worker.clients.projects import Project, same_name
from worker.errors import AccessDenied, ApiError, CredentialsRefused, NotFound, SettingsError
from worker.settings import values
from worker.settings.explain import shown

if TYPE_CHECKING:
    from worker.clients.testably import Testably
    from worker.clients.testrail import TestRail

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ChosenPair:
    """A TestRail project and the Testably project it goes to; names as far as they are known."""

    testrail: int
    testably: str
    testrail_name: str = ""
    testably_name: str = ""


Listed = Sequence[Project] | None
"""The projects of one side; None where they may not be listed."""


class Interview:
    """Asks for everything that is not in ``known`` (MILESYNC_* variables); `run` starts it."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self.values = {name: text for name, text in known.items() if name not in QUESTIONS}
        self._known = {name: text for name, text in known.items() if name in QUESTIONS}
        self._defaults: dict[str, str] = {}

    def run(self) -> list[ChosenPair]:
        """Ask and try everything; the answers are in ``values``. Raises UsageError, SettingsError.

        The latter is about what is not asked for, and so could not be put right here.
        """
        with self._clients():
            pass
        say("TestRail", "bold")
        self._until((URL,), self._reach_testrail)
        sources = self._until((USER, KEY), lambda: self._projects("TestRail"))
        say("Testably", "bold")
        self._until((TARGET_URL,), self._reach_testably)
        targets = self._until((TOKEN,), lambda: self._projects("Testably"))
        say("Projects", "bold")
        pairs = self._known_pairs(sources, targets) or self._choose(sources, targets)
        say("When and how", "bold")
        self._ensure(ZONE)
        self._ensure(SCHEDULE)
        return pairs

    # --- one setting

    def _until(self, names: Sequence[str], attempt: Callable[[], T]) -> T:
        """Ask for what is not known until the attempt is not refused."""
        while True:
            for name in names:
                self._ensure(name)
            try:
                return attempt()
            except (ApiError, SettingsError) as error:
                if isinstance(error, SettingsError) and not _is_about(error, names):
                    raise
                say_refused(error)
                for name in names:
                    self._defaults[name] = cleaned(name, self.values.pop(name))

    def _ensure(self, name: str) -> None:
        if not self._use_known(name):
            self._ask(name)

    def _use_known(self, name: str) -> bool:
        """Take what is set already, if it can be taken."""
        text = self._known.pop(name, None)
        if text is None:
            return False
        if (wrong := refused(name, name, text)) is not None:
            say(f"  {wrong}", "yellow")
            return False
        self.values[name] = text
        is_shown = "" if name in SECRETS else f" {cleaned(name, text)}"
        say(f"{QUESTIONS[name].text.partition(',')[0]}:{is_shown} ({name} is set)")
        return True

    def _ask(self, name: str) -> None:
        question = QUESTIONS[name]

        def take(answer: str) -> str:
            question.take(answer)
            return answer

        if name in SECRETS:
            self.values[name] = ask_hidden(question.text, take)
        else:
            default = self._defaults.get(name, question.default)
            self.values[name] = ask(question.text, take, default)

    # --- trying

    @contextmanager
    def _clients(self, **instead: str) -> Iterator[tuple[TestRail, Testably]]:
        """Both clients with the answers so far; ``instead`` are variables without their prefix."""
        from worker.cli.session import deployment_of, start_logging
        from worker.settings import load_settings

        blank = {USER: "nobody", KEY: "unknown", TOKEN: "unknown", URL: "http://127.0.0.1"}
        environ = {**blank, **self.values, PROJECTS: "1=any", **instead}
        with tempfile.TemporaryDirectory() as nowhere:
            settings = load_settings(None, environ, Path(nowhere))
            start_logging(settings)
            with (
                deployment_of(settings) as deployment,
                deployment.clients(settings.projects[0]) as both,
            ):
                yield both

    def _reach_testrail(self) -> None:
        """Raises ApiError, SettingsError unless something at the address answers like TestRail."""
        with self._clients() as (source, _), suppress(CredentialsRefused, AccessDenied):
            source.get_projects()
        say("  TestRail answers there.")

    def _reach_testably(self) -> None:
        refusals = (CredentialsRefused, AccessDenied, NotFound)
        with self._clients() as (_, target), suppress(*refusals):
            target.list_projects()
        say("  Testably answers there.")

    def _projects(self, side: str) -> Listed:
        """What the account may see. Raises ApiError where the account itself is refused."""
        with self._clients() as (source, target):
            try:
                found = source.get_projects() if side == "TestRail" else target.list_projects()
            except (AccessDenied, NotFound) as error:
                say(
                    f"  {side} does not let this account list its projects: {error.message}",
                    "yellow",
                )
                say("  You are asked for the ids of the projects instead.")
                return None
        noun = "project" if len(found) == 1 else "projects"
        say(f"  {side} takes that, and shows {len(found)} {noun}.")
        return found

    # --- pairs

    def _known_pairs(self, sources: Listed, targets: Listed) -> list[ChosenPair]:
        text = self.values.get(PROJECTS, "")
        try:
            pairs = [pair_of(one, sources, targets) for one in text.split(",") if one.strip()]
        except ValueError as error:
            say(f"  {PROJECTS} is set, but {shown(text)} {error}.", "yellow")
            return []
        for pair in pairs:
            say(f"  {_line(pair)} ({PROJECTS} is set)")
        return pairs

    def _choose(self, sources: Listed, targets: Listed) -> list[ChosenPair]:
        """The proposed pairs if they are wanted, and those that are given by hand."""
        pairs = _namesakes(sources or (), targets or ())
        if pairs:
            say("These have the same name:")
            for pair in pairs:
                say(f"  {_line(pair)}")
            if not confirm("Take them as pairs", default=True):
                pairs = [one for one in pairs if confirm(f"Pair {_line(one)}", default=True)]
        _say_left("TestRail", _left(sources, {str(pair.testrail) for pair in pairs}))
        _say_left("Testably", _left(targets, {pair.testably for pair in pairs}))
        while _can_be_more(pairs, sources, targets):
            added = self._by_hand(pairs, sources, targets)
            if added is None:
                break
            pairs.append(added)
        return pairs

    def _by_hand(
        self, pairs: Sequence[ChosenPair], sources: Listed, targets: Listed
    ) -> ChosenPair | None:
        more = "Another pair" if pairs else "A pair"
        question = f"{more}, as TestRail id=Testably id, like 1=proj_abc123"

        def take(answer: str) -> ChosenPair | None:
            return None if answer == NOTHING else pair_of(answer, sources, targets)

        while True:
            pair = ask(question, take, NOTHING)
            if pair is None or self._can_be_read(pair, sources, targets):
                return pair

    def _can_be_read(self, pair: ChosenPair, sources: Listed, targets: Listed) -> bool:
        """Whether both sides let the account read the project, where no list told that."""
        try:
            with self._clients() as (source, target):
                if sources is None:
                    source.get_milestones(pair.testrail, limit=1)
                if targets is None:
                    target.list_page(pair.testably, per_page=1)
        except MilesyncError as error:
            say_refused(error)
            return False
        return True


def _is_about(error: SettingsError, names: Sequence[str]) -> bool:
    """Whether all that is wrong is in these variables: each line begins with the one it is in."""
    beginnings = tuple(f"{name} (" for name in names)
    return all(line.startswith(beginnings) for line in error.message.split("\n"))


def _namesakes(sources: Sequence[Project], targets: Sequence[Project]) -> list[ChosenPair]:
    """Pairs of open projects whose name is the same, and that of no other."""
    pairs = []
    for source in sources:
        matching = [target for target in targets if same_name(source.name, target.name)]
        alike = [one for one in sources if same_name(source.name, one.name)]
        if len(matching) == len(alike) == 1 and not source.is_completed:
            [target] = matching
            pairs.append(ChosenPair(int(source.id), target.id, source.name, target.name))
    return pairs


def pair_of(text: str, sources: Listed, targets: Listed) -> ChosenPair:
    """A pair as a person writes it. Raises ValueError that completes a sentence."""
    left, equals, right = map(str.strip, text.partition("="))
    if not equals:
        raise ValueError("is not a pair of ids with = between them")
    testrail, testably = values.source_project(left), values.target_project(right)
    return ChosenPair(
        testrail,
        testably,
        _name_in(sources, str(testrail), "TestRail"),
        _name_in(targets, testably, "Testably"),
    )


def _name_in(listed: Listed, id_: str, side: str) -> str:
    if listed is None:
        return ""
    names = [project.name for project in listed if project.id == id_]
    if not names:
        raise ValueError(f"names a project that {side} does not show to this account")
    return names[0]


def _line(pair: ChosenPair) -> str:
    source = f"{pair.testrail} {pair.testrail_name}".strip()
    return f"{source} → {pair.testably} {pair.testably_name}".strip()


def _left(listed: Listed, taken: set[str]) -> list[Project]:
    return [project for project in listed or () if project.id not in taken]


def _can_be_more(pairs: Sequence[ChosenPair], sources: Listed, targets: Listed) -> bool:
    """Whether both sides have, or may have, a project that is in no pair yet."""
    left = _left(sources, {str(pair.testrail) for pair in pairs})
    right = _left(targets, {pair.testably for pair in pairs})
    return (sources is None or bool(left)) and (targets is None or bool(right))


def _say_left(side: str, left: Sequence[Project]) -> None:
    if left:
        shown = ", ".join(f"{project.id} {project.name}".strip() for project in left[:20])
        more = f" and {len(left) - 20} more" if len(left) > 20 else ""
        say(f"Not paired in {side}: {shown}{more}.")
