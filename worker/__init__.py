"""milesync: TestRail milestones mirrored into Testably.

The story of one milestone: a run *gathers* it from TestRail, with its link from the database
and its counterpart from Testably. The *plan*, a pure function of these, says what to do about it
and why. *Apply* journals that in the database, sends it within the rate limit, and records what
Testably answered. The *report* tells what became of it. The next run finds both sides in step
and writes nothing. If the process dies anywhere in between, the journal says what may have
happened, and the next run looks before it acts. `verify` reads both sides again and proves that
they agree; `undo` takes a run back from the values that the journal kept.
"""
