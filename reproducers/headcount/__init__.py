"""Headcount tells which Torch-Pruning prunes the attention heads of a ViT right.

The modules in the order of the flow; each imports only those before it.

errors        what went wrong, to what, and what to do next; the exit codes
environment   the versions and the harness that a result belongs to
confinement   what foreign code may write to
builds        which Torch-Pruning: a release, wheel, checkout or ref -> an overlay
clones        a local git clone: its commits, and the package at each
bisector      where a history changes: a binary search and a scan
models        which ViT: its numbers, and one small adapter per family
configs       how the pruner is called
matrix        cells: which calls on which models
observations  what was seen, as plain facts
planting      weights that say where they come from
networks      the ViTs themselves: planted, copied, traced
calls         a config's arguments, with modules for roles
worker        in the isolated process: prune one cell, observe
warm, planted what the fork server imports
server        what processes are forked from
store         observations, kept
engine        the isolated processes
oracle        what the documentation promises, by arithmetic
verdicts      an observation judged by its expectation
defects       which known defect explains a verdict
results       JSON Lines
scripts       a failing cell as one file that stands alone
minimiser     a failing cell made as small as it still fails
reproduction  such files proven, and run again
probing       what a build is asked when a history is searched
gate          what got worse, better or otherwise between two results
interface     the public names of two builds
bisection     releases or commits searched for a failure
gating        two builds asked every cell
report        for people to read
gatecli, reportcli  two of the commands
cli           the commands
"""
