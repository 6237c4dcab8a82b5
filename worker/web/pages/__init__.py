"""The pages: read-only, made on the server, nothing from another host.

They show what `status`, `failures`, `runs` and `show` say, by the same functions.

``overview``    /                                  where every pair stands, the worst first
``pair``        /pairs/1/proj_a                    one pair and its runs, and its milestones
``milestone``   /pairs/1/proj_a/milestones/7       both sides field by field, and every write
``run``         /runs/ID                           one run, live while it runs
``needs_you``   /needs-you                         what waits for a person, over all pairs
``pairs``       what the pages know of a pair
``frame``       what all pages have: templates, headers, errors, pages of a list
"""

from starlette.routing import Route

from worker.web.pages import frame, milestone, needs_you, overview, pair, run

_PAIR = "/pairs/{testrail}/{testably}"
ROUTES = [
    Route("/", overview.show),
    Route("/needs-you", needs_you.show),
    Route(_PAIR, pair.show),
    Route(f"{_PAIR}/milestones", pair.show_milestones),
    Route(f"{_PAIR}/milestones/{{milestone}}", milestone.show),
    Route("/runs/{run}", run.show),
    Route("/live.js", frame.script),
    Route("/favicon.svg", frame.icon),
]
