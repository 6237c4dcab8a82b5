"""``--plan FILE``: a migration that goes on only as a person has reviewed it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mappings.commands import for_project
from mappings.errors import MilesyncError
from worker.cli.session import pairs_to_call
from worker.errors import NotReviewed, UsageError

if TYPE_CHECKING:
    from mappings.link import Link
    from worker.bootstrap import Deployment
    from worker.cli.plan import Looked
    from worker.settings import ProjectPair
    from worker.sync.options import Options
    from worker.sync.reviewed_plan import Document


def read_plan(file: Path | None, options: Options) -> tuple[Document | None, Options]:
    """The plan in the file, if there is one, and the options with which it was made.

    What the guards ask for may be allowed beside it, too. Raises UsageError if the file holds no
    plan, or something else is asked for beside it.
    """
    from worker.sync.reviewed_plan import read_reviewed, reviewed_options

    if file is None:
        return None, options
    if replace(options, allow_mass_archive=False, allow_mass_recreate=False).flags:
        raise UsageError(
            "--only, --adopt-by-name, --create-anyway and --archive-in-use come from the "
            "reviewed plan.",
            "Leave them out beside --plan, or make a new plan with them.",
        )
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        hint = "Write one with `milesync plan --out FILE`."
        raise UsageError(f"{file} cannot be read: {_short(error)}.", hint) from None
    reviewed = read_reviewed(text, str(file))
    kept = reviewed_options(reviewed)
    return reviewed, replace(
        kept,
        allow_mass_archive=kept.allow_mass_archive or options.allow_mass_archive,
        allow_mass_recreate=kept.allow_mass_recreate or options.allow_mass_recreate,
        verify=options.verify,
        reviewed=True,
    )


def chosen_pairs(
    deployment: Deployment, projects: Sequence[int] | None, reviewed: Document | None
) -> tuple[ProjectPair, ...]:
    """The pairs that were named, else those of the reviewed plan, else all.

    Raises UsageError if one of the reviewed plan is disabled by now.
    """
    if projects or reviewed is None:
        return pairs_to_call(deployment.settings, projects)
    in_plan = [(p.get("testrail_project"), p.get("testably_project")) for p in reviewed["projects"]]
    every = pairs_to_call(deployment.settings, [int(source or 0) for source, _ in in_plan])
    pairs = tuple(pair for pair in every if (pair.testrail, pair.testably) in in_plan)
    for pair in pairs:
        if not pair.enabled:
            raise UsageError(
                f"Project {pair.testrail} → {pair.testably} of the reviewed plan is disabled.",
                f"Enable it, give --project {pair.testrail} for it all the same, or make a new "
                "plan without it.",
            )
    return pairs or every


def require_reviewed(
    reviewed: Document, looked: Looked, options: Options, deployment: Deployment
) -> None:
    """Raises PlanChanged if what was ``looked`` at is not what was reviewed, in any pair of it.

    What an earlier run has done of it is no difference. Raises NotReviewed if one could not be
    planned beside others; where none could be, there is nothing to apply, and their errors are told
    as always.
    """
    from worker.cli.plan import places
    from worker.sync.begun_plan import rest_of
    from worker.sync.reviewed_plan import must_be_equal, reviewable

    if not looked.plans:
        return
    for identity, result in zip(looked.identities, looked.results, strict=True):
        if isinstance(result, MilesyncError):
            project = identity.testrail_project
            pair = f"project {project} → {identity.testably_project}"
            raise NotReviewed(
                f"Nothing was written, since {pair} could not be planned: {result.message}",
                for_project(result.hint, deployment.project_to_name(project)),
            ) from result
    fresh = reviewable(looked.as_json(), options, places(deployment.settings))
    must_be_equal(rest_of(reviewed, fresh, partial(_links, deployment, looked)), fresh)


def _links(
    deployment: Deployment, looked: Looked, project: Document, testrail_ids: Sequence[int]
) -> Mapping[int, Link]:
    """The links of some milestones of a project that was looked at."""
    sides = (project["testrail_project"], project["testably_project"])
    [identity] = [
        one for one in looked.identities if (one.testrail_project, one.testably_project) == sides
    ]
    return deployment.store.links(deployment.store.pair(identity).id, testrail_ids)


def _short(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or "it is not UTF-8"
