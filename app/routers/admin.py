"""What the operator may change while the gateway serves. app/admin.py stands before these paths."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from app.config.faults import ConfigError
from app.errors import InvalidRequestError
from app.models_admin import Reloaded, ReloadRefused

router = APIRouter(prefix="/admin", tags=["operations"])


@router.post("/reload", responses={400: {"model": ReloadRefused}})
async def reload(request: Request) -> Reloaded:
    """Read gateway.yaml anew, in every worker or in none; a file with faults is refused whole, each fault named, and the old one stays."""
    state: Any = request.app.state
    try:
        return Reloaded(**await state.reload())
    except ConfigError as error:
        raise _RefusedError(error) from error


class _RefusedError(InvalidRequestError):
    code = "configuration_refused"

    def __init__(self, error: ConfigError) -> None:
        super().__init__(f"The configuration was not taken and the old one stays: {error}")
        self.faults = [{"file": fault.file, "line": fault.line, "message": fault.sentence} for fault in error.faults]

    def body(self) -> dict[str, object]:
        """Return OpenAI's error body, with the faults one by one beside it."""
        return {**super().body(), "faults": self.faults}
