"""The scale of complexity that gateway.yaml's section `complexity` describes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.config.faults import ConfigError, Fault, suggestion
from app.policy.complexity import SCALE, WEIGHTS, Scale, Target
from app.policy.lexicon import Lexicon, Signal
from app.policy.sensitivity.custom import complaint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.config.specs import GatewayFile

_WORDED = [*WEIGHTS, "simple"]


def check_complexity(file: GatewayFile) -> None:
    """Refuse names of signals that there are not, or that there are twice, and expressions that Hyperscan does not take. Raises ConfigError."""
    faults = list(_faults(file))
    if faults:
        raise ConfigError(faults)


def scale_of(file: GatewayFile) -> Scale:
    """Return the scale that the file describes. Raises ConfigError."""
    check_complexity(file)
    spec = file.complexity
    added = [Signal(named.name, words) for named, words in spec.words.items()]
    own = [Signal(signal.name, signal.words, tuple(regex.name for regex in signal.regexes)) for signal in spec.signals]
    return Scale(
        weights={**WEIGHTS, **{named.name: weight for named, weight in spec.weights.items()}, **{signal.name: signal.weight for signal in spec.signals}},
        cuts=spec.cuts,
        simple_discount=spec.simple_discount,
        lexicon=Lexicon([*added, *own], spec.ignore) if added or own or spec.ignore else SCALE.lexicon,
        own={signal.name: signal.enough for signal in spec.signals},
        target=None if spec.target is None else Target(spec.target.share, spec.target.low, spec.target.high, spec.target.window),
    )


def _faults(file: GatewayFile) -> Iterator[Fault]:
    spec = file.complexity
    for named in spec.weights:
        if named.name not in WEIGHTS:
            yield file.fault(named.line, f'weights names "{named.name}", which is no signal{suggestion(named.name, list(WEIGHTS))}')
    for named in spec.words:
        if named.name not in _WORDED:
            hint = suggestion(named.name, _WORDED)
            yield file.fault(named.line, f'words names "{named.name}", which is no signal{hint}; one of your own stands under `signals`')
    seen: set[str] = set()
    for signal in spec.signals:
        if signal.name in _WORDED:
            yield file.fault(signal.line, f'"{signal.name}" is a built-in signal; add to it under `words` and `weights`, or write another name')
        elif signal.name in seen:
            yield file.fault(signal.line, f'"{signal.name}" stands twice in signals; write one entry with all its words')
        seen.add(signal.name)
        for regex in signal.regexes:
            why = complaint(regex.name)
            if why is not None:
                yield file.fault(regex.line, f"regex {why}")
