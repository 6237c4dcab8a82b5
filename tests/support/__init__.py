"""What tests of several folders share.

clock       the one clock, which stands still until somebody sleeps
in_memory   both APIs over the sandbox's models, without HTTP
world       one project pair over these, with a database and a clock
database    empty databases, quickly
mortal      a process that can die at any request and any commit
build       milestones, links and snapshots for what is pure
rows        what the tests of the database share
texts       what people write, and what a target may make of it
transports  clients on a script, and servers that speak bytes
"""
