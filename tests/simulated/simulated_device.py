"""Torch loads this by its entry point, as it does for makers of devices: from then on there is `simulated`."""

import types
from pathlib import Path

import torch
from torch.utils import backend_registration

NAME = "simulated"


def load() -> None:
    """Register the device with torch."""
    torch.ops.load_library(Path(__file__).with_name("simulated.so"))  # type: ignore[no-untyped-call]
    backend_registration.rename_privateuse1_backend(NAME)
    module = types.ModuleType(f"torch.{NAME}")
    asked = {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_amp_supported_dtype": list,
        "manual_seed_all": lambda _seed: None,  # what is drawn is drawn on the CPU
        "_is_in_bad_fork": lambda: False,
    }
    vars(module).update(asked)
    torch._register_device_module(NAME, module)  # type: ignore[no-untyped-call]  # noqa: SLF001 - documented for makers
    backend_registration.generate_methods_for_privateuse1_backend()
