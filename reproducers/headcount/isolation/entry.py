"""What the parent names as a process's main. The rest is imported in the process, since it brings torch."""

from importlib import import_module


def enter(main: str, *arguments: object) -> None:
    """Run `module.function` of this package with these arguments."""
    module, function = main.split(".")
    getattr(import_module(f"headcount.isolation.{module}"), function)(*arguments)
