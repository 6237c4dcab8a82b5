"""What corresponds to what: the field mapping and the store of links.

Glossary (the words of the code, the messages and the documents):

milestone       a release milestone; both APIs call it that
project pair    a TestRail project and the Testably project it is mirrored into
link            the recorded pair of ids, with what was last pushed and what the target echoed
field mapping   the rule that turns a TestRail milestone into Testably's fields
lifecycle       where a milestone stands: upcoming, started, past_due or completed
run             one pass over one pair, with its trigger: migration, schedule, webhook, manual
                or rebuild
change          one write to the target, with the values before and after
footer          the last block of a target description: what Testably has no field for
marker          the footer's first line, the TestRail address: its identity in the target
drift           the target differs from what was last pushed
quarantine      an item set aside with a reason, tried again when its source record changes
"""
