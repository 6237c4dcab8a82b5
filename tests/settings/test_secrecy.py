"""No secret may ever stand in the text of the settings, of an error or of its traceback."""

from __future__ import annotations

import json
import string
import tempfile
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import SettingsError
from worker.settings import Settings, load_settings

PRINTABLE = string.ascii_letters + string.digits + string.punctuation
SECRETS = st.text(PRINTABLE, min_size=8).map(lambda text: f"#S{text}")
ANYTHING = st.text(min_size=6).map(lambda text: f"#S\u00e9{text}\n#")
NAMES = ("TESTRAIL_API_KEY", "TESTABLY_TOKEN", "WEBHOOK_SECRET", "DATABASE_URL", "REDIS_URL")
NOWHERE = Path(tempfile.gettempdir()) / "milesync-no-such-folder"


def loaded(**variables: str) -> Settings:
    environ = {f"MILESYNC_{name}": text for name, text in variables.items()}
    return load_settings(environ=environ, cwd=NOWHERE)


@given(secret=SECRETS)
def test_the_settings_do_not_show_a_secret(secret: str) -> None:
    settings = loaded(
        TESTRAIL_API_KEY=secret, TESTABLY_TOKEN=secret, WEBHOOK_SECRET=secret, PROJECTS="1=p"
    )
    assert secret in {found.get_secret_value() for found in settings.secrets}
    for text in (
        repr(settings),
        str(settings),
        repr(settings.projects),
        str(settings.model_dump()),
    ):
        assert secret not in text


@given(secret=st.text(string.ascii_letters + string.digits, min_size=8).map(lambda s: f"S-{s}"))
def test_a_password_in_an_address_is_a_secret(secret: str) -> None:
    settings = loaded(
        DATABASE_URL=f"postgresql://me:{secret}@h/d", REDIS_URL=f"redis://:{secret}@h/0"
    )
    assert secret not in repr(settings)
    assert [found.get_secret_value() for found in settings.secrets] == [secret]


def test_the_address_of_a_notice_is_a_secret() -> None:
    """A library that cannot read one logs it whole."""
    settings = loaded(NOTIFY="slack://a-token")
    assert [found.get_secret_value() for found in settings.secrets] == ["slack://a-token"]


@pytest.mark.parametrize("name", NAMES)
@given(secret=ANYTHING)
def test_no_error_shows_a_secret(name: str, secret: str) -> None:
    """Also with another setting wrong, so that there is an error in any case."""
    with pytest.raises(SettingsError) as caught:
        loaded(**{name: secret, "SCHEDULE": "never"})
    told = "".join(traceback.format_exception(caught.value))
    assert f"MILESYNC_{name} (environment)" in told
    assert secret.strip() not in told
    assert "#S\u00e9" not in told
    assert caught.value.__context__ is None


@pytest.mark.parametrize("name", ["TESTRAIL_URL", "TESTABLY_URL"])
@given(secret=SECRETS)
def test_credentials_pasted_into_an_address_are_not_shown(name: str, secret: str) -> None:
    for pasted in (f"https://me:{secret}@example.com", f"https://example.com?key={secret}"):
        with pytest.raises(SettingsError) as caught:
            loaded(**{name: pasted})
        assert secret not in str(caught.value)


@pytest.mark.parametrize(
    "toml",
    [
        '[testably]\ntokn = "#hush"',
        '[testably]\ntoken = ["#hush"]',
        'testably = "#hush"',
        'webhook = "#hush"',
        '[testrail]\napi_key = {key = "#hush"}',
        '[[projects]]\ntestrail=1\ntestably="p"\ntestably_token="#hush hush"',
        '[testrail]\napi_key = "#hush',
        "[testrail]\napi_key = #hush",
    ],
)
def test_a_file_that_is_wrong_is_reported_without_its_secrets(tmp_path: Path, toml: str) -> None:
    (tmp_path / "milesync.toml").write_text(toml)
    with pytest.raises(SettingsError) as caught:
        load_settings(environ={}, cwd=tmp_path)
    assert "hush" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("option", ["", "testrail_user"])
@pytest.mark.parametrize("user", ["ann@example.com:S-key-1", "ann\nS-key-1", "ann\x1bS-key-1"])
def test_a_key_that_is_pasted_behind_the_user_is_not_shown(
    tmp_path: Path, user: str, option: str
) -> None:
    """HTTP Basic ends the user at the first colon; and control characters belong in no header."""
    environ = {"MILESYNC_TESTRAIL_USER": user}
    if option:
        pair = f'[[projects]]\ntestrail = 1\ntestably = "p"\n{option} = {json.dumps(user)}\n'
        (tmp_path / "milesync.toml").write_text(pair, encoding="utf-8")
    with pytest.raises(SettingsError, match="in it") as caught:
        load_settings(environ={} if option else environ, cwd=tmp_path)
    assert "S-key-1" not in str(caught.value)
    assert "user" in str(caught.value).lower()
