"""Whom of a pool to ask first, and who follows: a pure function of the pool, the request's facts and one snapshot of state.

Draws are weighted rendezvous hashing: each member takes an exponential variate of its weight from a hash of the drawn number and its name, and the
smallest comes first. Shares are met over many draws; the same number gives the same order; and a member that rests moves nobody but its own.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from app.domain_routing import Choice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.domain import Deployment, Facts, Snapshot
    from app.domain_routing import Member, Pool

# The answer that a price is estimated for where the caller set no lower limit. It ranks prices, and nothing else.
ANSWER_TOKENS: Final = 400

# The share of requests by which a pool that goes by speed asks anybody, so that what was slow once is not taken for slow for good.
EXPLORED: Final = 0.02

_REST: Final = "\x00rest"  # no deployment can have that name


@dataclass(frozen=True, slots=True)
class Ordered:
    """A pool's members in the order of the attempts, each with why it stands there; `arm` is the side of the experiment that was drawn."""

    members: tuple[tuple[Member, str], ...]
    arm: str = ""
    drawn: float | None = None


def is_fixed(pool: Pool) -> bool:
    """Say whether the order of a pool depends on nothing but the pool."""
    return pool.choose is Choice.ORDERED and not pool.experiment and all(member.share is None for member in pool.members)


def order(pool: Pool, usable: Sequence[Member], facts: Facts, snapshot: Snapshot) -> Ordered:
    """Return `usable`, members of `pool` that may serve the request, in the order in which to ask them."""
    if is_fixed(pool) or not usable:
        return Ordered(tuple((member, "") for member in usable))
    number = snapshot.conversation if pool.sticky else snapshot.draw
    canaries = [member for member in usable if member.share is not None]
    rest = [member for member in usable if member.share is None]
    drawn = _canary(canaries, rest, number) if canaries else None
    chosen = _CHOICES[pool.choose](rest, facts, snapshot, number)
    if pool.sticky and pool.choose in MEASURED:
        chosen = _stay(chosen, snapshot.stays_with)
    others = [(member, "canary that was not drawn") for member in canaries if member is not drawn]
    if drawn is not None:
        chosen = [(drawn, f"canary, drawn for its share of {drawn.share:.4g}"), *((member, "") for member, _ in chosen)]
    listed = [*chosen, *others]
    if not pool.experiment:
        return Ordered(tuple(listed), drawn=number if draws(pool) else None)
    arm = listed[0][0].arm
    first = [(listed[0][0], f"arm {arm}, {listed[0][1]}")]
    listed = first + [entry for entry in listed[1:] if entry[0].arm == arm] + [entry for entry in listed[1:] if entry[0].arm != arm]
    return Ordered(tuple(listed), f"{pool.experiment}/{arm}", number)


def draws(pool: Pool) -> bool:
    """Say whether the order of a pool depends on a draw."""
    return pool.choose not in {Choice.ORDERED, Choice.CHEAPEST} or any(member.share is not None for member in pool.members)


def _canary(canaries: Sequence[Member], rest: Sequence[Member], number: float) -> Member | None:
    """Return the canary whose share the request falls into, or None where it goes to the rest."""
    left = max(0.0, 1.0 - sum(member.share or 0.0 for member in canaries)) if rest else 0.0
    first = min(canaries, key=lambda member: _variate(number, member.deployment.name, member.share or 0.0))
    if _variate(number, _REST, left) <= _variate(number, first.deployment.name, first.share or 0.0):
        return None if rest else first
    return first


def _variate(number: float, name: str, weight: float) -> float:
    """Return an exponential variate of rate `weight` that depends on the number and the name alone."""
    if weight <= 0:
        return math.inf
    digest = blake2b(struct.pack("<d", number) + name.encode(), digest_size=7).digest()
    return -math.log((int.from_bytes(digest, "big") + 1) / (1 << 56)) / weight


def _ordered(members: Sequence[Member], _: Facts, __: Snapshot, ___: float) -> list[tuple[Member, str]]:
    return [(member, "") for member in members]


def _weighted(members: Sequence[Member], _: Facts, __: Snapshot, number: float) -> list[tuple[Member, str]]:
    total = sum(member.weight for member in members)
    ranked = sorted(members, key=lambda member: _variate(number, member.deployment.name, member.weight))
    return [(member, f"drawn by weight {member.weight:.4g} of {total:.4g}" if place == 0 else "") for place, member in enumerate(ranked)]


def _cheapest(members: Sequence[Member], facts: Facts, _: Snapshot, __: float) -> list[tuple[Member, str]]:
    """Order by what the request would cost; tokens are counted only where the prices alone do not say."""
    by_input = sorted(members, key=lambda member: _price(member)[0])
    if all(_price(low)[1] <= _price(high)[1] for low, high in pairwise(by_input)):
        return [(member, "cheapest" if place == 0 and member.deployment.price else "") for place, member in enumerate(by_input)]
    ranked = sorted(members, key=lambda member: _usd(member, facts))
    return [(member, f"cheapest, about ${_usd(member, facts):.6f}" if place == 0 else "") for place, member in enumerate(ranked)]


def _price(member: Member) -> tuple[float, float]:
    price = member.deployment.price
    return (math.inf, math.inf) if price is None else (price.input_usd, price.output_usd)


def _usd(member: Member, facts: Facts) -> float:
    return estimated_usd(member.deployment, facts.tokens_about, facts.max_output_tokens)


def estimated_usd(deployment: Deployment, prompt_tokens: int, max_output_tokens: int | None) -> float:
    """Return what a request may cost, with an answer of ordinary length where the caller set no lower limit; infinity where no price is known."""
    price = deployment.price
    if price is None:
        return math.inf
    return prompt_tokens * price.input_usd + min(ANSWER_TOKENS, max_output_tokens or ANSWER_TOKENS) * price.output_usd


def _fastest(members: Sequence[Member], _: Facts, snapshot: Snapshot, number: float) -> list[tuple[Member, str]]:
    if number < EXPLORED:
        return _anew(members, number)
    ranked = sorted(members, key=lambda member: _first_token(member, snapshot))
    return [(member, _tell_speed(member, snapshot) if place == 0 else "") for place, member in enumerate(ranked)]


def _first_token(member: Member, snapshot: Snapshot) -> float:
    """Return the measured time to the first token. What nobody measured comes first, so that it gets measured, by one request at a time."""
    name = member.deployment.name
    measured = snapshot.first_token_s.get(name)
    if measured is None:
        return math.inf if snapshot.in_flight.get(name) else -1.0
    return measured


def _anew(members: Sequence[Member], number: float) -> list[tuple[Member, str]]:
    ranked = sorted(members, key=lambda member: _variate(number, member.deployment.name, 1.0))
    return [(member, "measured anew" if place == 0 else "") for place, member in enumerate(ranked)]


def _tell_speed(member: Member, snapshot: Snapshot) -> str:
    measured = snapshot.first_token_s.get(member.deployment.name)
    return "not measured yet" if measured is None else f"fastest, {measured:.3f} s to the first token"


def _latency(members: Sequence[Member], _: Facts, snapshot: Snapshot, number: float) -> list[tuple[Member, str]]:
    """Take the better of two by peak EWMA: the time to the first token, times one more than the requests in flight there."""
    if number < EXPLORED:
        return _anew(members, number)

    def load(member: Member) -> float:
        return _first_token(member, snapshot) * (snapshot.in_flight.get(member.deployment.name, 0) + 1)

    ranked = _of_two(members, number, load)
    return [(member, f"{_tell_speed(member, snapshot)}, the better of two" if place == 0 else "") for place, member in enumerate(ranked)]


def _least_busy(members: Sequence[Member], _: Facts, snapshot: Snapshot, number: float) -> list[tuple[Member, str]]:
    def load(member: Member) -> float:
        return snapshot.in_flight.get(member.deployment.name, 0)

    ranked = _of_two(members, number, load)
    return [(member, f"{load(member):.0f} in flight, the fewer of two" if place == 0 else "") for place, member in enumerate(ranked)]


def _of_two(members: Sequence[Member], number: float, load: Callable[[Member], float]) -> list[Member]:
    """Draw two and put the one of less load first, the others after it by load: the power of two choices, which keeps workers from running as a herd."""
    drawn = sorted(members, key=lambda member: _variate(number, member.deployment.name, 1.0))
    first = min(drawn[:2], key=load, default=None)
    rest = sorted((member for member in drawn if member is not first), key=load)
    return rest if first is None else [first, *rest]


def _stay(chosen: list[tuple[Member, str]], name: str) -> list[tuple[Member, str]]:
    """Put the deployment first that served the conversation before."""
    stays = [(member, "stays with the conversation") for member, _ in chosen if member.deployment.name == name]
    return [*stays, *((member, "" if stays else why) for member, why in chosen if member.deployment.name != name)]


# What changes between two turns of a conversation: these need a memory to be sticky, where a hash is enough for weights.
MEASURED: Final = frozenset({Choice.CHEAPEST, Choice.FASTEST, Choice.LATENCY, Choice.LEAST_BUSY})

_CHOICES: Final[dict[Choice, Callable[[Sequence[Member], Facts, Snapshot, float], list[tuple[Member, str]]]]] = {
    Choice.ORDERED: _ordered,
    Choice.WEIGHTED: _weighted,
    Choice.CHEAPEST: _cheapest,
    Choice.FASTEST: _fastest,
    Choice.LATENCY: _latency,
    Choice.LEAST_BUSY: _least_busy,
}
