"""What people paste into a bug report holds no password: Celery's own reports, and the logs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis

from tests.service.stack import ENDED, SECRET, Stack, eventually
from worker.embedded_broker import embedded_broker
from worker.tasks.redis_address import redbeat


@pytest.fixture
def password(stack: Stack) -> Iterator[str]:
    """The password of the Redis that the stack's processes use."""
    with embedded_broker() as url:
        stack.redis_url = url.get_secret_value()
        yield stack.redis_url.partition("://:")[2].partition("@")[0]


def test_celery_s_reports_show_no_password(stack: Stack, password: str) -> None:
    """Worker and beat work with it all the same."""
    stack.worker()
    stack.start("beat", "celery", "-A", "worker.tasks", "beat")
    with Redis.from_url(stack.redis_url or "") as redis:
        eventually(lambda: redis.exists("milesync:beat:ticked"), 30, stack.logs("beat"))
    for command in (("report",), ("inspect", "conf"), ("inspect", "stats")):
        name = command[-1]
        process = stack.start(name, "celery", "-A", "worker.tasks", *command)
        assert process.wait(ENDED) == 0, stack.log(name)
    assert "redbeat_redis_url" in stack.log("report")
    assert "redbeat_redis_url" in stack.log("conf")
    for name in ("report", "conf", "stats", "worker", "beat"):
        for secret in (password, SECRET, "sandbox-api-key", "sandbox-token"):
            assert secret not in stack.log(name), (name, secret)


@pytest.mark.parametrize(
    ("url", "left", "account"),
    [
        ("redis://h:1/0", "redis://h:1/0", {}),
        ("redis://:p%40w@h:1/0", "redis://h:1/0", {"password": "p@w"}),
        (
            "rediss://u:p@h/2?ssl_cert_reqs=none",
            "rediss://h/2?ssl_cert_reqs=none",
            {"username": "u"},
        ),
        ("redis://h/0?password=a%20b&username=u", "redis://h/0", {"password": "a b"}),
        ("redis://:p@h/0?password=other", "redis://h/0", {"password": "p"}),
    ],
)
def test_redbeat_gets_the_account_apart(url: str, left: str, account: dict[str, str]) -> None:
    """And connects with the same as redis-py would by the URL."""
    made = redbeat(url)
    assert made["redbeat_redis_url"] == left
    assert made["redbeat_redis_options"].items() >= account.items()
    by_url = Redis.from_url(url).connection_pool.connection_kwargs
    options = made["redbeat_redis_options"]
    ours = Redis.from_url(left, **options).connection_pool.connection_kwargs
    for name in ("host", "port", "db", "username", "password", "ssl_cert_reqs"):
        assert ours.get(name) == by_url.get(name), name
