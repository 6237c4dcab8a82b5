"""A TestRail-style and a Testably-style server, for the demo, the tests and docker-compose.

rules, shelf, switches    what both models share; what the vendors' documents leave open
testrail_model/_app       a TestRail instance in memory, and over HTTP
testably_model/_app       a Testably account in memory, and over HTTP
testably_checks, _storage, _view   what it takes, how it keeps it, how it shows it
limit, faults             strict rate limits, and misbehaviour by kind
http_server, server       one application on a port with a log of its requests; both of them
seed                      milestones as a company would have them
"""
