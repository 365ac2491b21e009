"""What the wheel holds beside the package: the reproducers, which stand beside it in the checkout."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Reproducers(BuildHookInterface[Any]):
    """Puts them into the package."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name them, for a wheel that is no link to the checkout."""
        if version == "standard":
            files = Path(self.root, "reproducers").glob("*.py")
            build_data["force_include"] |= {str(file): f"headcount/reproducers/{file.name}" for file in files}
