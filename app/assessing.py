"""The assessor that gateway.yaml's section `scan` describes."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from app.config.faults import ConfigError, suggestion
from app.domain import Hints, Label, LaneName, Tier
from app.gateway.second_opinion import OpinionLimits, SecondOpinion
from app.policy.assess import LABELS, Assessor
from app.policy.opinion import UNAVAILABLE, LeftAlone
from app.policy.sensitivity.catalogue import KINDS
from app.policy.sensitivity.custom import Expression, Wanted, complaint
from app.policy.sensitivity.scanner import Scanner
from app.policy.vocabulary import Vocabularies
from app.providers import translate
from app.providers.relay import RelayLane
from app.providers.residence import Residence
from app.providers.second_opinion import OTHER, Entities, ModelReader, NerReader
from app.scaling import check_complexity, scale_of
from app.utils import logging
from app.utils.monitoring import DEGRADED, FAULTS

if TYPE_CHECKING:
    from app.config.settings import Settings
    from app.config.specs import GatewayFile
    from app.domain import Deployment
    from app.gateway.ports import OpinionReader
    from app.providers.wire import Wire

log = logging.get_logger("assessing")

_VOCABULARIES = Vocabularies()  # one for the process: what is loaded outlasts a reload


def assessor_of(settings: Settings, file: GatewayFile) -> Assessor:
    """Return the assessor that the file describes. Raises ConfigError."""
    check_scan(file)
    scan = file.scan
    tiers = {tier: scan.labels.get(tier, label) for tier, label in LABELS.items()}
    patterns = tuple(Expression(spec.kind, spec.regex, spec.tier) for spec in scan.patterns)
    wanted = Wanted(patterns, scan.words, scan.allow_values, scan.allow_domains)
    return Assessor(
        scanner=Scanner(wanted=wanted if wanted != Wanted() else None),
        max_scan_bytes=settings.max_scan_bytes,
        allow_unscannable=scan.allow,
        default_label=scan.default,
        labels=tiers,
        kind_labels={key: label for key, label in scan.labels.items() if key not in tiers},
        scale=scale_of(file),
        vocabularies=_VOCABULARIES,
        on_fault=_count_scan_fault,
    )


def second_opinion_of(file: GatewayFile, endpoint: Deployment | None, wire: Wire, secret: bytes, connect_s: float) -> SecondOpinion | None:
    """Return who reads once more what the assessor lets pass; None where the file asks for nobody.

    A deployment is called beside its slots, which are kept for answers: `concurrency` bounds what that adds.
    """
    spec = file.scan.second_opinion
    if spec is None or endpoint is None:
        DEGRADED.labels("second_opinion").set(0)  # a reload may have taken away one that failed
        return None
    entities = Entities(spec.kinds)
    if spec.by_url:
        reader: OpinionReader = NerReader(wire, endpoint, entities, spec.min_score, spec.language, connect_s)
    else:
        residence = Residence(wire)
        if endpoint.lane is LaneName.RELAY:
            reader = ModelReader(RelayLane(wire, residence), endpoint, entities, connect_s, residence.is_ollama)
        else:
            reader = ModelReader(translate.TranslateLane(wire, residence), endpoint, entities, connect_s)
    limits = OpinionLimits(spec.labels, spec.timeout_s, spec.max_chars, spec.concurrency)
    key = hmac.digest(secret, b"second opinions", "sha256")
    return SecondOpinion(reader, limits, key, LeftAlone.of(file.scan.allow_values, file.scan.allow_domains))


def check_scan(file: GatewayFile) -> None:
    """Refuse patterns that the scanner cannot take, labels of and rules for kinds that nothing finds, and signals that there are not. Raises ConfigError."""
    check_complexity(file)
    scan = file.scan
    own = {*(spec.kind for spec in scan.patterns), *(kind for kind, _ in scan.words)}
    if scan.second_opinion is not None:
        own |= {OTHER, *(entity.lower() for entity in scan.second_opinion.kinds)}
    known = [*Tier, *sorted(KINDS | own)]
    faults = [
        file.fault(scan.label_lines[key], f'labels names "{key}", which is no tier and no kind that anything finds{suggestion(key, known)}')
        for key in scan.labels
        if key not in known
    ]
    found = KINDS | own | ({UNAVAILABLE} if scan.second_opinion is not None else set())
    faults += [
        file.fault(spec.line, f'{spec.rule.name}: findings names "{kind}", which is no kind that anything finds{suggestion(kind, found)}')
        for spec in file.rules
        for kind in sorted((spec.rule.when.findings or frozenset()) - found)
    ]
    complaints = [(spec.line, complaint(spec.regex)) for spec in scan.patterns]
    faults += [file.fault(line, f"regex {sentence}") for line, sentence in complaints if sentence is not None]
    if faults:
        raise ConfigError(faults)


def label_of_text(assessor: Assessor, text: str) -> Label:
    """Return the label of one text outside any conversation."""
    return assessor.assess({"messages": [{"role": "user", "content": text}]}, Hints()).label


def _count_scan_fault(exc: BaseException) -> None:
    FAULTS.labels("assess").inc()
    log.fault("scan_failed", exc)
