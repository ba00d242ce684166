"""What is known of a deployment of gateway.yaml, whether or not it is active: what `check` shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.domain import Capability, LaneName, Price


@dataclass(frozen=True, slots=True)
class Known:
    """One deployment. `given` are the variables that its key, address and parameters come from, `missing` those of them that are unset: names, never values.

    `literal` says that a secret stands in the file itself. `lane` is None where the provider is not known.
    """

    lane: LaneName | None = None
    given: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    literal: bool = False
    context_window: int | None = None
    price: Price | None = None
    capabilities: frozenset[Capability] = frozenset()

    @property
    def credentials(self) -> str:
        """Which variable is missing, or where the credentials come from."""
        if self.missing:
            return f"missing: {', '.join(self.missing)}"
        return ", ".join(self.given) or ("in the file" if self.literal else "none")
