"""GET /v1/models: the names that a chat request may ask for."""

from __future__ import annotations

from fastapi import APIRouter, Request

from app.dependencies import Caller  # noqa: TC001 -- FastAPI reads the annotations
from app.errors import ModelNotFoundError
from app.models import Model, ModelList

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("")
async def list_models(request: Request, caller: Caller) -> ModelList:  # noqa: ARG001 -- a caller is needed, whoever it is
    """List `auto`, the pools that have an active deployment, and the active deployments."""
    return ModelList(data=_models(request))


@router.get("/{model:path}")
async def get_model(model: str, request: Request, caller: Caller) -> Model:  # noqa: ARG001 -- likewise
    """Describe one of the listed names."""
    for known in _models(request):
        if known.id == model:
            return known
    raise ModelNotFoundError("This model does not exist: GET /v1/models lists those that do.", param="model")


def _models(request: Request) -> list[Model]:
    table = request.app.state.chat.table
    created = int(request.app.state.started_at)
    names = [("auto", "sluice"), *((name, "sluice") for name, pool in table.pools.items() if pool.members)]
    names += [(name, deployment.provider) for name, deployment in table.deployments.items()]
    return [Model(id=name, created=created, owned_by=owner) for name, owner in names]
