"""Run in an isolated process: the parameters of every public pruner and criterion, left in `ANSWER` as JSON."""

import inspect
import json

import torch_pruning  # type: ignore[import-not-found]

_BASES = (torch_pruning.pruner.BasePruner, torch_pruning.importance.Importance)

ANSWER = json.dumps(
    {
        name: [*inspect.signature(value).parameters]
        for module in (torch_pruning.pruner, torch_pruning.importance)
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, _BASES)
    }
)
