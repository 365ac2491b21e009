"""Headcount says which Torch-Pruning prunes the attention heads of a ViT right.

The stages of the flow, each a package or a module. Each imports only those above it.

errors, environment, untrusted   exit codes; the versions a result belongs to; checks of untrusted data
invocation                       how it was called
observation                      what was seen, as plain facts
models                           which network: sizes, families, synthetic importance
matrix                           how the pruner is called, and on which models: the cells
builds                           which Torch-Pruning: a release, wheel, checkout or ref becomes an overlay
pruning                          one call on one network, and what is left of it
isolation                        a process for each build, confined; observations are kept
oracle                           what the documentation promises; allowances; the verdict
canary                           a known build, before any other: is the harness itself in order?
defects                          what is known to be wrong, and what each cell shows on each release
examine                          a cell run, judged, explained
wording                          English, made from facts
results                          rows as JSON Lines
reproduce                        a failing cell as one file that stands alone
gate, bisect                     two builds compared; a history searched for a failure
report                           for people to read
pytest_plugin, suite, cli        the matrix's runner, and the suite that it runs; the commands
"""
