"""`python -m app check`: what the configuration comes to, what is wrong with it, and, with --probe, whether its deployments answer."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from app.assessing import check_scan
from app.cli.terminal import say
from app.config.check import as_json, report
from app.config.faults import ConfigError
from app.config.problems import doubts, problems
from app.config.settings import environment, load_settings
from app.config.slips import slips
from app.providers.build import build
from app.providers.catalog import load_catalog
from app.providers.deployments import load_configuration
from app.providers.egress import Egress
from app.providers.probe import probe_all
from app.providers.wire import Wire
from app.utils import logging

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.config.assembled import Assembled
    from app.config.settings import Settings
    from app.providers.probe import Probed

_PROBE_S: Final = 10.0  # lists of models take well under a second


def check(*, probe: bool, in_json: bool) -> int:
    """Print what the configuration comes to, and return the exit status: 1 where something is wrong. Raises ConfigError, but in JSON, which says it instead."""
    try:
        return _check(load_settings(), probe=probe, in_json=in_json)
    except ConfigError as exc:
        if not in_json:
            raise
        sys.stdout.write(json.dumps({"faults": [asdict(fault) for fault in exc.faults]}, indent=2) + "\n")
        return 2


def _check(settings: Settings, *, probe: bool, in_json: bool) -> int:
    catalog = load_catalog()
    file, assembled = load_configuration(settings.gateway_config, {**environment(), **settings.variables()}, catalog)
    check_scan(file)
    known = {name: build(spec, file, catalog).known for name, spec in file.deployments.items()}
    wrong = problems(file, known)
    unsure = [*doubts(file, known, [key.name for key in settings.api_keys]), *slips(settings)]
    probed = asyncio.run(_probe(settings, assembled)) if probe else None
    if in_json:
        told = as_json(file, assembled, known, wrong)
        told["warnings"] += unsure
        if probed is not None:
            told["probes"] = {each.deployment: {"outcome": each.outcome, "status": each.status, "ms": each.ms, "said": each.said} for each in probed}
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    else:
        sys.stdout.write(report(file, assembled, known, [*wrong], unsure) + "\n")
        if probed is not None:
            sys.stdout.write(_probes(probed))
    ill = [each.deployment for each in probed or () if not each.well]
    if ill:
        say(f"{', '.join(ill)}: not well.")
    return 1 if wrong or ill else 0


async def _probe(settings: Settings, assembled: Assembled) -> list[Probed]:
    logging.configure("error", readable=False)  # what the wire and egress would log is in the answer
    deployments = {deployment.name: deployment for deployment in (*assembled.table.deployments.values(), assembled.embedder) if deployment is not None}
    wire = Wire(Egress(assembled.egress))
    try:
        return await probe_all(wire, deployments.values(), connect_s=min(settings.connect_timeout_s, _PROBE_S), timeout_s=_PROBE_S)
    finally:
        await wire.aclose()


def _probes(probed: Sequence[Probed]) -> str:
    width = max((len(each.deployment) for each in probed), default=0)
    lines = [f"  {each.deployment:{width}}  {'' if each.ms is None else f'{each.ms:.0f} ms':>8}  {each.said}" for each in probed]
    return "\n".join(["", "asked for its models", *lines]) + "\n"
