"""What is known of a request before it is routed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.domain import Complexity, ComplexityTier, Facts, Label, Tier
from app.policy.blobs import blanked, find_blobs
from app.policy.collect import collect
from app.policy.complexity import SCALE
from app.policy.measures import LazyMeasures
from app.policy.sensitivity.database import TooManyHitsError
from app.policy.sensitivity.scanner import Scanner
from app.policy.taint import NOTHING, REASON
from app.policy.vocabulary import Vocabularies

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.domain import Capability, Cuts, Finding, Hints
    from app.policy.collect import Collected
    from app.policy.complexity import Scale
    from app.policy.taint import Earlier

MAX_SCAN_BYTES = 8 * 1024 * 1024
LABELS: Mapping[Tier, Label] = {Tier.HARD: Label.CONFIDENTIAL, Tier.LIKELY: Label.CONFIDENTIAL, Tier.WEAK: Label.INTERNAL}


class Assessor:
    """Says what is known of a request. Pure: the same arguments give the same facts. Never raises, nor do the facts when they are read.

    The label is the highest of: `default_label`, the caller's hint, what the findings mean (`labels` by tier, `kind_labels` by kind where an operator
    says otherwise), and confidential for what cannot be scanned: kinds of media that are not in `allow_unscannable`, blobs that no deployment is known to have
    issued, more than `max_scan_bytes` of text, a scanner that failed (`on_fault` is told) or cannot run; and for what carries on a confidential conversation.
    """

    def __init__(
        self,
        *,
        scanner: Scanner | None = None,
        max_scan_bytes: int = MAX_SCAN_BYTES,
        allow_unscannable: frozenset[str] = frozenset(),
        default_label: Label = Label.PUBLIC,
        labels: Mapping[Tier, Label] = LABELS,
        kind_labels: Mapping[str, Label] | None = None,
        scale: Scale = SCALE,
        vocabularies: Vocabularies | None = None,
        on_fault: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._scanner = Scanner() if scanner is None else scanner
        self._max_scan_bytes = max_scan_bytes
        self._allow_unscannable = allow_unscannable
        self._default_label = default_label
        self._labels = labels
        self._kind_labels = kind_labels or {}
        self.scale = scale
        scale.lexicon.prepare()
        self._vocabularies = Vocabularies() if vocabularies is None else vocabularies
        self._leaves_blobs = "blob" in allow_unscannable
        self._on_fault = on_fault or _unheard

    @property
    def health(self) -> str | None:
        """None when all is well, else a sentence that says why everything is confidential."""
        return None if self._scanner.health is None else f"Everything is confidential: {self._scanner.health}"

    @property
    def counting(self) -> str | None:
        """None when tokens can be counted, else a sentence that says why they are estimated. Reads files the first time."""
        lacking = self._vocabularies.lacking()
        return f"Tokens are estimated: LiteLLM's package lacks {' and '.join(lacking)}." if lacking else None

    def assess(self, body: Mapping[str, Any], hints: Hints, earlier: Earlier = NOTHING, cuts: Cuts | None = None) -> Facts:
        """Return the facts of a request; `earlier` is what is remembered of what it carries on, `cuts` stand for the scale's own."""
        needs: frozenset[Capability] = frozenset()
        try:
            collected = collect(self._readable(body, earlier) if self._leaves_blobs or earlier is not NOTHING else body)
            needs = collected.needs  # whatever fails after this, tools and images are known
            size_bytes = _scan_bytes(collected)
            label, reason, findings = self._label(collected, hints, size_bytes)
            if label < Label.CONFIDENTIAL and not (collected.is_plain and earlier is NOTHING):
                label, reason = self._carried_on(body, earlier) or (label, reason)
            measures = LazyMeasures(collected, body, size_bytes, self.scale, cuts, hints.complexity, self._vocabularies, self._on_fault)
            return Facts(label, reason, findings, None, None, _max_output_tokens(body), needs, measures=measures)
        except Exception as exc:  # noqa: BLE001 whatever fails here, the request stays where confidential ones stay
            self._on_fault(exc)
            return Facts(Label.CONFIDENTIAL, "scanner_error", (), Complexity(1.0, hints.complexity or ComplexityTier.COMPLEX), 0, None, needs)

    def _label(self, collected: Collected, hints: Hints, size_bytes: int) -> tuple[Label, str, tuple[Finding, ...]]:
        if self._scanner.health is not None:
            return Label.CONFIDENTIAL, "scanner_unavailable", ()
        if size_bytes > self._max_scan_bytes:
            return Label.CONFIDENTIAL, "over_scan_limit", ()
        try:
            findings = self._scanner.scan(collected.scalars, collected.joins)
        except TooManyHitsError:
            return Label.CONFIDENTIAL, "over_scan_limit", ()
        except Exception as exc:  # noqa: BLE001 what the scanner could not read is confidential; tokens and capabilities are still known
            self._on_fault(exc)
            return Label.CONFIDENTIAL, "scanner_error", ()
        label, reason = self._default_label, "default"
        if findings:
            found = max(map(self.label_of, findings))
            if found > label:
                label, reason = found, "findings"
        if collected.opaque and label < Label.CONFIDENTIAL and not self._allow_unscannable.issuperset(collected.unscannable):
            label, reason = Label.CONFIDENTIAL, "unscannable"
        if hints.label is not None and hints.label > label:
            label, reason = hints.label, "hint"
        return label, reason, findings

    def _readable(self, body: Mapping[str, Any], earlier: Earlier) -> Mapping[str, Any]:
        """Return what is to be scanned: less the blobs that go to who issued them alone, and where the operator allows blobs less them all."""
        sealed = find_blobs(body) if self._leaves_blobs else earlier.issuers
        return blanked(body, frozenset(sealed)) if sealed else body

    def _carried_on(self, body: Mapping[str, Any], earlier: Earlier) -> tuple[Label, str] | None:
        """Return the label of what the request brings along of earlier turns, where that makes it confidential."""
        if not self._leaves_blobs and not earlier.issuers.keys() >= set(find_blobs(body)):
            return Label.CONFIDENTIAL, "unscannable"
        return (Label.CONFIDENTIAL, REASON) if earlier.confidential else None

    def label_of(self, finding: Finding) -> Label:
        """Return what a finding means."""
        return self._kind_labels.get(finding.kind, self._labels[finding.tier])


def _unheard(_: BaseException) -> None:
    """Tell nobody."""


def _scan_bytes(collected: Collected) -> int:
    """Return the size of all texts in UTF-8."""
    size = 0
    for _, text in collected.scalars:
        size += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return size


def _max_output_tokens(body: Mapping[str, Any]) -> int | None:
    for key in ("max_completion_tokens", "max_tokens"):
        value = body.get(key)
        if type(value) is int:
            return value
    return None
