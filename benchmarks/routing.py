"""How well the complexity score tells which prompts need the strong model, on a folder of labelled prompts, beside their length and LiteLLM's rules.

    python benchmarks/routing.py --data FOLDER [--json] [--prices openai/gpt-4o-mini,openai/gpt-4o [--answer-tokens 300]]

Reads every `*.csv.gz` of FOLDER (`prompt`, `weak`, `strong`: the scores of a weak and of a strong model on the prompt) and, where it is there,
`labelled_tiers.jsonl` (`prompt`, `tier`, `acceptable`; `moderate` is our `medium`). `routing_curve.py` says what APGR and CPT are. With `--prices` it tells
what 1,000 prompts cost at the prices of LiteLLM's registry. Nothing is downloaded, and nobody is called.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout, which is not installed

from app.policy.complexity import score
from benchmarks.routing_costs import costs, print_costs
from benchmarks.routing_curve import Row, curve, figures, read
from benchmarks.routing_others import Rated, by_length, litellm_rules

if TYPE_CHECKING:
    from collections.abc import Callable


def ours(prompt: str) -> Rated:
    found = score((prompt,))
    return Rated(found.score, str(found.tier))


def measure(sets: dict[str, list[Row]], tiers: Path, rate: Callable[[str], Rated]) -> dict[str, Any]:
    """Return what a way to rate prompts comes to, and how long it takes a prompt."""
    took: list[float] = []

    def timed(prompt: str) -> float:
        start = time.perf_counter()
        found = rate(prompt).score
        took.append((time.perf_counter() - start) * 1e6)
        return found

    found = {name: figures(curve(rows, [timed(row.prompt) for row in rows])) for name, rows in sets.items()}
    return {
        "sets": found,
        "mean_apgr": round(statistics.mean(row["apgr"] for row in found.values()), 4),
        "labelled": labelled(tiers, rate) if tiers.exists() else {},
        "p50_us": round(statistics.median(took), 1),
        "p99_us": round(statistics.quantiles(took, n=100)[98], 1),
    }


def labelled(file: Path, rate: Callable[[str], Rated]) -> dict[str, float]:
    """Return shares of prompts: acceptable tiers of all, and the two grave mistakes among those they can happen to; nothing where there are no tiers."""
    seen: list[tuple[str, str, bool]] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        tier = rate(row["prompt"]).tier
        if tier is None:
            return {}
        given = tier.replace("medium", "moderate")
        seen.append((row["tier"], given, given in row["acceptable"]))
    return {
        "acceptable": round(statistics.mean(fine for _, _, fine in seen), 4),
        "complex_called_simple": _mistaken(seen, "complex", "simple"),
        "simple_called_complex": _mistaken(seen, "simple", "complex"),
    }


def _mistaken(seen: list[tuple[str, str, bool]], expected: str, given: str) -> float:
    of = [tier == given for wanted, tier, _ in seen if wanted == expected]
    return round(sum(of) / len(of), 4) if of else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of .csv.gz files")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--prices", metavar="WEAK,STRONG", help="two models of LiteLLM's registry: tell what 1,000 prompts cost")
    parser.add_argument("--answer-tokens", type=int, default=300, help="tokens of every answer, of which the sets say nothing [300]")
    options = parser.parse_args()
    sets = {file.name.removesuffix(".csv.gz"): read(file) for file in sorted(options.data.glob("*.csv.gz"))}
    if not sets:
        parser.error(f"{options.data} has no .csv.gz file")
    tiers = options.data / "labelled_tiers.jsonl"
    rules = litellm_rules()
    others = {"length": measure(sets, tiers, by_length), "litellm": {"missing": rules} if isinstance(rules, str) else measure(sets, tiers, rules)}
    result = {**measure(sets, tiers, ours), "others": others}
    if options.prices is not None:
        try:
            result["costs"] = costs(sets, lambda prompt: ours(prompt).score, options.prices, options.answer_tokens)
        except ValueError as error:
            parser.error(str(error))
    if options.json:
        print(json.dumps(result))
        return
    _print(result)


def _print(result: dict[str, Any]) -> None:
    columns = {"sluice": result, **{name: other for name, other in result["others"].items() if "sets" in other}}
    print(f"{'':14}" + "".join(f"  | {name:24}" for name in columns))
    print(f"{'set':14}" + f"  | {'apgr':>8}{'cpt50':>8}{'cpt80':>8}" * len(columns))
    for name in result["sets"]:
        cells = [column["sets"][name] for column in columns.values()]
        print(f"{name:14}" + "".join(f"  | {cell['apgr']:>8}{cell['cpt50']:>8}{cell['cpt80']:>8}" for cell in cells))
    print(f"{'mean':14}" + "".join(f"  | {column['mean_apgr']:>8}{'':16}" for column in columns.values()))
    for name, column in columns.items():
        print(
            f"{name:14}", *(f"{key} {value}" for key, value in {**column["labelled"], "p50_us": column["p50_us"], "p99_us": column["p99_us"]}.items()), sep="  "
        )
    for name, other in result["others"].items():
        if "missing" in other:
            print(f"{name:14}  {other['missing']}")
    if "costs" in result:
        print_costs(result["costs"])


if __name__ == "__main__":
    main()
