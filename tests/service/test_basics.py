"""The service as it is deployed: a worker, the web process, and what a webhook starts."""

from __future__ import annotations

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
    (patch,) = [record for record in stack.records("worker") if record.get("method") == "PATCH"]
    assert (patch["correlation"], patch["outcome"]) == ("second", "200")
    assert patch["run"]
    assert patch["pair"]
