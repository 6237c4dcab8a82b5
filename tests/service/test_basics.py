"""The service as it is deployed: a worker, the web process, and what a webhook starts."""

from __future__ import annotations

from typing import Any

from tests.service.stack import Stack, eventually


def test_a_hinted_milestone_is_read_again_and_pushed(stack: Stack) -> None:
    """A webhook changes the target within seconds, and its id is on the line of the PATCH."""
    ids = [int(str(stack.testrail.model.add(1, {"name": f"M{n}"})["id"])) for n in range(3)]
    stack.worker()
    url = stack.web()
    stack.hook(url, "first", event="run_closed", project_id="1", milestone_id="")
    eventually(lambda: len(stack.targets()) == 3, 20, stack.logs("worker"))
    stack.testrail.model.update(ids[1], {"name": "renamed"})
    answer = stack.hook(url, "second", event="run_closed", project_id="1", milestone_id=ids[1])
    assert answer.status_code == 202
    assert answer.json() == {"status": "accepted", "delivery": "second"}
    eventually(lambda: "renamed" in stack.names(), 10, stack.logs("worker"))

    def patches() -> list[dict[str, Any]]:
        return [record for record in stack.records("worker") if record.get("method") == "PATCH"]

    eventually(patches, 10, stack.logs("worker"))  # the line comes after the change
    (patch,) = patches()
    assert (patch["correlation"], patch["outcome"]) == ("second", "200")
    assert patch["run"]
    assert patch["pair"]


def test_one_webhook_is_followed_to_its_write_by_its_correlation_alone(stack: Stack) -> None:
    """From the line of the web process to one line of the worker's, with ids and without names."""
    milestone = int(str(stack.testrail.model.add(1, {"name": "Secret plan"})["id"]))
    stack.worker()
    url = stack.web()
    stack.hook(url, "first", event="run_closed", project_id="1", milestone_id="")
    eventually(lambda: stack.names() == ["Secret plan"], 20, stack.logs("worker"))
    stack.testrail.model.update(milestone, {"name": "Changed plan"})
    stack.hook(url, "second", event="run_closed", project_id="1", milestone_id=milestone)
    eventually(lambda: stack.names() == ["Changed plan"], 20, stack.logs("worker"))

    def trail(correlation: str, name: str, event: str) -> list[dict[str, Any]]:
        lines = [line for line in stack.records(name) if line.get("correlation") == correlation]
        return [line for line in lines if line["event"] == event]

    eventually(lambda: trail("second", "worker", "write"), 10, stack.logs("worker"))
    for correlation, action, status in (("first", "create", 201), ("second", "update", 200)):
        assert len(trail(correlation, "web", "webhook accepted")) == 1
        (write,) = trail(correlation, "worker", "write")
        assert (write["action"], write["testrail_id"]) == (action, milestone)
        assert write["testably_id"] == str(stack.targets()[0]["id"])
        assert (write["status"], write["outcome"]) == (status, "done")
        assert write["run"]
        assert write["pair"]
        assert write["seconds"] >= 0
        assert "plan" not in str(write)


def test_a_command_leaves_the_same_trail(stack: Stack) -> None:
    """Its correlation is its run."""
    stack.testrail.model.add(1, {"name": "M"})
    assert stack.command("sync").returncode == 0
    (write,) = [line for line in stack.records("command") if line["event"] == "write"]
    assert write["correlation"] == write["run"]
    assert write["action"] == "create"
