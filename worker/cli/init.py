"""`milesync init`: asks for the settings on a terminal, else writes a commented template."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from worker.cli.files import cannot_be_written, write_private
from worker.cli.options import Config, Json
from worker.cli.output import Exit, show
from worker.cli.signals import EndedBySignal
from worker.errors import Interrupted, UsageError

if TYPE_CHECKING:
    from worker.cli.interview import ChosenPair
    from worker.cli.screen import Console

_SUGGESTED: Final = ("MILESYNC_WEBHOOK_SECRET", "MILESYNC_WEB_TOKEN")
Overwrite = Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")]
SourceUrl = Annotated[
    str | None, typer.Option("--testrail-url", metavar="URL", help="The address of TestRail.")
]
SourceUser = Annotated[
    str | None, typer.Option("--testrail-user", metavar="USER", help="Whose API key is used.")
]
TargetUrl = Annotated[
    str | None, typer.Option("--testably-url", metavar="URL", help="The address of Testably's API.")
]
Pairs = Annotated[
    list[str] | None,
    typer.Option(
        "--pair", metavar="ID=ID", help="TestRail project=Testably project; may be repeated."
    ),
]
Zone = Annotated[
    str | None, typer.Option("--timezone", metavar="ZONE", help="An IANA name, or none.")
]
Schedule = Annotated[
    str | None, typer.Option("--schedule", metavar="CRON", help="When to sync, in UTC.")
]


def init(
    testrail_url: SourceUrl = None,
    testrail_user: SourceUser = None,
    testably_url: TargetUrl = None,
    pair: Pairs = None,
    timezone: Zone = None,
    schedule: Schedule = None,
    force: Overwrite = False,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Ask for the settings, try them, and write milesync.toml and .env.

    Secrets are typed without being shown, or come from the environment: MILESYNC_TESTRAIL_API_KEY
    and MILESYNC_TESTABLY_TOKEN. Without a terminal nothing is asked or tried: it writes a commented
    milesync.toml with what the options say.

    Examples:
      milesync init
      milesync init --timezone Europe/Berlin --schedule '0 6 * * *'
      milesync init --pair 1=proj_abc123 < /dev/null
    """
    from worker.cli.ask import is_interactive
    from worker.cli.init_files import given_by
    from worker.settings.load import FILE_NAME

    file = _expanded(config or Path(FILE_NAME))
    given = given_by(testrail_url, testrail_user, testably_url, pair, timezone, schedule)
    if is_interactive() and not as_json:
        return _interview(file, given, force=force)
    _require_new(file, force=force)
    return _write_template(file, given, as_json=as_json)


def _expanded(file: Path) -> Path:
    try:
        return file.expanduser()
    except RuntimeError as error:  # there is no home
        raise UsageError(f"{file} cannot be written: {error}.") from None


def _require_new(file: Path, *, force: bool) -> None:
    if not force and os.path.lexists(file):
        raise UsageError(f"{file} is there already.", "Give --force to overwrite it.")


def _named(file: Path) -> str:
    """The option with which commands find this file; empty for the usual one."""
    from worker.settings.load import FILE_NAME

    return "" if file == Path(FILE_NAME) else f" --config {shlex.quote(str(file))}"


def _written(file: Path, text: str) -> None:
    try:
        write_private(file, text)
    except OSError as error:
        raise cannot_be_written(file, error) from None


# --- without a terminal -----------------------------------------------------------------------


def _write_template(file: Path, given: Mapping[str, str], *, as_json: bool) -> int:
    from worker.cli.init_files import pairs_in, toml_text

    _written(file, toml_text(given, pairs_in(given)))
    suggested = {name: token_urlsafe(24) for name in _SUGGESTED}
    document: dict[str, Any] = {
        "state": "succeeded",
        "file": str(file.resolve()),
        "suggested": suggested,
    }
    show(document, lambda out: _say_template(out, file, suggested), as_json=as_json)
    return Exit.OK


def _say_template(out: Console, file: Path, suggested: Mapping[str, str]) -> None:
    out.print(f"Wrote {file}. Fill it in, then run `milesync check{_named(file)}`.")
    out.print("For the service, two secrets made at random just now, for your .env:")
    for name, secret in suggested.items():
        out.print(f"{name}={secret}")


# --- on a terminal ----------------------------------------------------------------------------


def _interview(file: Path, given: Mapping[str, str], *, force: bool) -> int:
    from worker.cli.ask import confirm, say
    from worker.cli.init_files import known_variables
    from worker.cli.interview import Interview

    if not force and os.path.lexists(file) and not confirm(f"Replace {file}", default=False):
        say("Nothing was changed.")
        return Exit.FAILED
    say("This asks for the settings and tries them. Enter takes what stands in brackets.")
    interview = Interview({**known_variables(file), **given})
    with _kept_nothing():
        pairs = interview.run()
    _keep(file, interview.values, pairs)
    say(f"Wrote {file}, and {file.parent / '.env'} with the secrets, which only you can read.")
    if not pairs:
        say(f"No projects are paired yet: put [[projects]] into {file}.", "yellow")
    named = _named(file)
    say(f"Next: `milesync check{named}`, then `milesync plan{named}`.")
    return Exit.OK


@contextmanager
def _kept_nothing() -> Iterator[None]:
    """An interrupt inside says that no answer was kept."""
    try:
        yield
    except EndedBySignal as ended:
        ended.error = Interrupted(
            ended.error.message, "Nothing was written; run it again, and it asks for everything."
        )
        raise


def _keep(file: Path, values: Mapping[str, str], pairs: Sequence[ChosenPair]) -> None:
    """Write both files. What the environment holds stays there."""
    from worker.cli.ask import say
    from worker.cli.init_files import env_text, shadowed, toml_text

    env_file = file.parent / ".env"
    suggested = {name: token_urlsafe(24) for name in _SUGGESTED}
    secrets = env_text(env_file, values, suggested)
    _written(file, toml_text(values, pairs))
    _written(env_file, secrets)
    for name in shadowed(values):
        say(f"{name} is set to another value in the environment, which goes before the files.")
