"""One call on one network, in the isolated process: build, prune, trace what is left, compare its output.

Each module imports torch, so this one imports none of them. `pruning.run.observe` is what the process calls.
"""
