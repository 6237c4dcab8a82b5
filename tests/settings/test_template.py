"""The example file: what it says must be true."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.settings.conftest import Load
from worker.settings import settings_template
from worker.settings.explain import dotted, known_keys
from worker.settings.model import ProjectPair, variable

WITHOUT_DEFAULT = {"sync.allow_http", "redis_url", "testrail.url", "testrail.user", "log.format"}
COMMENTED = re.compile(r"^#(?=[a-z_]+ = |\[\[)", re.MULTILINE)


def _examples() -> list[str]:
    """Each example of the file alone, below the table it stands in."""
    table, found = "", []
    for line in settings_template().partition("#[[projects]]")[0].splitlines():
        if line.startswith("["):
            table = line
        elif COMMENTED.match(line):
            found.append(f"{table}\n{line[1:]}")
    return found


def test_as_written_it_changes_nothing(load: Load) -> None:
    assert load(settings_template()).model_dump(exclude={"source_file"}) == load("").model_dump(
        exclude={"source_file"}
    )


@pytest.mark.parametrize("example", _examples())
def test_each_example_is_valid_and_is_the_default_if_there_is_one(load: Load, example: str) -> None:
    [name] = [
        dotted(key)
        for key in known_keys()
        if _at(tomllib.loads(example), [str(part) for part in key]) is not None
    ]
    same = load(example).model_dump() == load("").model_dump()
    assert same == (name not in WITHOUT_DEFAULT)


PAIRS = ((1, "proj_abc123", "Webshop → Webshop"), (2, "proj_def456", ""), (2, "proj_ghi789", "C"))


def test_each_line_below_a_pair_is_a_setting_of_that_pair(load: Load) -> None:
    """Whoever takes one # away, as the head of the file says, changes this and nothing else."""
    text = settings_template({}, PAIRS)
    plain = load(text)
    assert [str(pair) for pair in plain.projects] == [f"{one}={other}" for one, other, _ in PAIRS]
    own = [name for name, field in ProjectPair.model_fields.items() if not field.is_required()]
    tables = text.split("[[projects]]\n")
    for number, table in enumerate(tables[1:]):
        lines = [line for line in table.splitlines() if COMMENTED.match(line)]
        assert [line[1:].split(" = ")[0] for line in lines] == own
        for line, name in zip(lines, own, strict=True):
            changed = table.replace(line, line[1:])
            edited = [*tables[: number + 1], changed, *tables[number + 2 :]]
            settings = load("[[projects]]\n".join(edited))
            is_kept = name in settings.projects[number].model_fields_set
            assert is_kept == (not line.endswith('""')), "an empty secret is none"
            others = {"projects", "source_file"}
            assert settings.model_dump(exclude=others) == plain.model_dump(exclude=others)


@pytest.mark.parametrize("pairs", [(), PAIRS])
def test_each_line_alone_is_no_mistake(load: Load, pairs: tuple[tuple[int, str, str], ...]) -> None:
    """But for a pair that is not there yet: its first three lines belong together."""
    text = settings_template({}, pairs)
    if not pairs:
        begun = "#[[projects]]\n#testrail = 1\n#testably ="
        assert begun in text
        text = text.replace(begun, begun.replace("#", ""))
    for line in COMMENTED.finditer(text):
        assert load(text[: line.start()] + text[line.end() :])


def test_all_examples_together_are_valid(load: Load) -> None:
    settings = load(COMMENTED.sub("", settings_template()))
    assert [str(pair) for pair in settings.projects] == ["1=proj_abc123"]
    assert settings.testrail.url == "https://example.testrail.io"


def test_every_variable_is_named() -> None:
    for key in known_keys():
        assert variable(key) in settings_template()


def test_no_line_is_too_long_to_read() -> None:
    assert max(map(len, settings_template().splitlines())) <= 100


def test_the_variables_are_those_of_the_contract() -> None:
    """The names are fixed: people script against them."""
    contract = """
        TESTRAIL_URL TESTRAIL_USER TESTRAIL_API_KEY TESTRAIL_TIMEZONE TESTRAIL_SUBMILESTONES
        TESTRAIL_RATE_LIMIT TESTABLY_URL TESTABLY_TOKEN TESTABLY_RATE_LIMIT PROJECTS DATABASE_URL
        REDIS_URL SCHEDULE DRIFT_CHECK RETENTION NOTIFY NOTIFY_GAP WEBHOOK_SECRET
        ON_TARGET_EDIT ON_SOURCE_DELETE CONCURRENCY
        DESCRIPTION_FOOTER HTTP_TIMEOUT LISTEN WEB_HOSTS WEB_TOKEN ALLOW_HTTP LOG_LEVEL LOG_FORMAT
    """
    assert {variable(key) for key in known_keys()} == {f"MILESYNC_{n}" for n in contract.split()}


def _at(table: object, path: list[str]) -> object:
    for name in path:
        table = table.get(name) if isinstance(table, dict) else None
    return table


def test_it_can_be_written_and_read_again(tmp_path: Path, load: Load) -> None:
    assert load(settings_template()).source_file == tmp_path / "milesync.toml"
