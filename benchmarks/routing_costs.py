"""What routing by a score saves: the price of 1,000 prompts when all go to the weak model, to the strong one, and where a score or chance divides them."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from app.policy.vocabulary import Vocabularies, Vocabulary
from app.providers.catalog import load_catalog
from benchmarks.routing_curve import Row, needed, spent

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.domain import Price

_FORMAT_TOKENS = 7  # of a chat with one message
_GAPS = (0.5, 0.8)


def costs(sets: dict[str, list[Row]], rate: Callable[[str], float], models: str, answer_tokens: int) -> dict[str, Any]:
    """Return US dollars per 1,000 prompts of each set, and of all sets alike. Raises ValueError for models whose price is not known.

    Both models are held to read and to write the same tokens: the prompt's by o200k_base, and `answer_tokens`.
    """
    weak, strong = _prices(models)
    vocabularies = Vocabularies()
    vocabularies.load(Vocabulary.O200K)
    found: dict[str, dict[str, float]] = {}
    for name, rows in sets.items():
        tokens = [(vocabularies.count(Vocabulary.O200K, (row.prompt,)) or 0) + _FORMAT_TOKENS for row in rows]
        cheap, dear = ([_cost(price, count, answer_tokens) / len(rows) * 1000 for count in tokens] for price in (weak, strong))
        least, most = sum(cheap), sum(dear)
        points = spent(rows, [rate(row.prompt) for row in rows], [high - low for low, high in zip(cheap, dear, strict=True)])
        found[name] = {"weak": least, "strong": most}
        for gap in _GAPS:
            found[name] |= {f"routed{gap:.0%}": least + needed(points, gap), f"chance{gap:.0%}": least + gap * (most - least)}
    found["mean"] = {key: statistics.mean(row[key] for row in found.values()) for key in next(iter(found.values()))}
    return {
        "models": models,
        "answer_tokens": answer_tokens,
        "usd_per_1000": {name: {key: round(usd, 4) for key, usd in row.items()} for name, row in found.items()},
    }


def _prices(models: str) -> list[Price]:
    names = models.split(",")
    if len(names) != 2:
        raise ValueError("--prices wants two models, such as openai/gpt-4o-mini,openai/gpt-4o")
    catalog = load_catalog()
    entries = [catalog.entry(*name.split("/", 1)) if "/" in name else None for name in names]
    prices = [entry.price for entry in entries if entry is not None and entry.price is not None]
    if len(prices) != len(names):
        raise ValueError(f"LiteLLM's registry has no price for one of {models}: write PROVIDER/MODEL")
    return prices


def _cost(price: Price, sent: int, received: int) -> float:
    return price.input_usd * sent + price.output_usd * received


def print_costs(found: dict[str, Any]) -> None:
    rows: dict[str, dict[str, float]] = found["usd_per_1000"]
    print(f"\nUSD per 1,000 prompts, {found['models']}, {found['answer_tokens']} tokens of answer each")
    print(f"{'set':14}" + "".join(f"{key:>12}" for key in rows["mean"]))
    for name, row in rows.items():
        print(f"{name:14}" + "".join(f"{usd:>12.4f}" for usd in row.values()))
