"""The wire models of the operator's routes."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from app.models import Configuration, ErrorDetail  # noqa: TC001 -- pydantic reads the annotations


class Reloaded(BaseModel):
    """What was taken. `replaced` are workers that did not answer and took it by a restart; `not_reloaded` says in sentences what stays as it was."""

    status: Literal["reloaded"] = "reloaded"
    configuration: Configuration
    workers: int
    replaced: int = 0
    not_reloaded: list[str] = []
    warnings: list[str] = []


class ConfigurationFault(BaseModel):
    """One thing to put right; `line` is 0 where it has none."""

    file: str
    line: int
    message: str


class ReloadRefused(BaseModel):
    """OpenAI's error body, with every fault of the file."""

    error: ErrorDetail
    faults: list[ConfigurationFault]
