"""How near the count and the estimate of a prompt's tokens come to the published tokenizer's, and how long they take.

    .venv/bin/python benchmarks/tokens.py [--size-kb 10] [--json]

The texts are this repository's own prose and code, a paragraph of Chinese, a table of figures, and a tool's description. What is right is what tiktoken counts
of the text, and the tokens of the chat format by OpenAI's cookbook ("How to count tokens with tiktoken"), for models with o200k_base.
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

from app.policy.collect import collect
from app.policy.complexity import SCALE
from app.policy.measures import LazyMeasures
from app.policy.vocabulary import Vocabularies, Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
_CHINESE = (
    "网关先判断一个请求有多敏感、有多难、有多长、再按照人能读懂的规则选择模型。被标为机密的内容只会送到获准的机器、从不写入缓存和日志。"
    "上游出错时、它会换下一个部署。全部失败时、由本地的模型回答。每个回答都说明是谁给出的、用了几次尝试、花了多少钱。\n"
)
_MESSAGE_TOKENS, _START_TOKENS = 4, 3  # of the chat format: around each message with its role, and at the answer's start
_REPEATS = 9
# The cookbook's example with a tool, and what OpenAI's API counted of it.
_WEATHER = [
    {"role": "system", "content": "You are a helpful assistant that can answer to questions about the weather."},
    {"role": "user", "content": "What's the weather like in San Francisco?"},
]
_PROPERTIES = {
    "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
    "unit": {"type": "string", "description": "The unit of temperature to return", "enum": ["celsius", "fahrenheit"]},
}
_PARAMETERS = {"type": "object", "properties": _PROPERTIES, "required": ["location"]}
_TOOL = {"name": "get_current_weather", "description": "Get the current weather in a given location", "parameters": _PARAMETERS}
_WEATHER_TOKENS = 101


def texts(size_bytes: int) -> Iterator[tuple[str, str]]:
    """Yield texts of `size_bytes` in UTF-8, or a little less."""
    prose = "\n".join(file.read_text(encoding="utf-8") for file in sorted((ROOT / "docs").glob("*.md")))
    code = "\n".join(file.read_text(encoding="utf-8") for file in sorted((ROOT / "app/policy").glob("*.py")))
    figures = "\n".join(f"{number},{number * 7919 % 1000:03d}.{number % 97:02d},{number * 31 % 7}" for number in range(1, 20_000))
    for name, text in {"prose": prose, "code": code, "chinese": _CHINESE * (size_bytes // 100), "figures": figures}.items():
        yield name, text.encode()[:size_bytes].decode(errors="ignore")


def measure(body: dict[str, Any], vocabularies: Vocabularies, right: int) -> dict[str, float]:
    took: list[float] = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        found = LazyMeasures(
            collect(body),
            body,
            size_bytes=0,
            scale=SCALE,
            cuts=None,
            hint=None,
            vocabularies=vocabularies,
            on_fault=lambda error: print(error, file=sys.stderr),
        )
        counted = found.tokens_for("openai", "gpt-4o").tokens
        took.append((time.perf_counter() - start) * 1e6)
    estimated = found.tokens_for("ollama_chat", "llama3.1").tokens
    return {
        "right": right,
        "counted": counted,
        "off_percent": round(100 * (counted / right - 1), 1),
        "estimated": estimated,
        "over_percent": round(100 * (estimated / right - 1), 1),
        "count_us": round(statistics.median(took)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-kb", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    vocabularies = Vocabularies()
    vocabularies.load(Vocabulary.O200K)
    found: dict[str, dict[str, float]] = {}
    for name, text in texts(options.size_kb * 1024):
        right = (vocabularies.count(Vocabulary.O200K, [text]) or 0) + _MESSAGE_TOKENS + _START_TOKENS
        found[name] = measure({"messages": [{"role": "user", "content": text}]}, vocabularies, right)
    found["tool"] = measure({"messages": _WEATHER, "tools": [{"type": "function", "function": _TOOL}]}, vocabularies, _WEATHER_TOKENS)
    if options.json:
        print(json.dumps(found))
        return
    print(f"{'text':10}" + "".join(f"{column:>14}" for column in next(iter(found.values()))))
    for name, row in found.items():
        print(f"{name:10}" + "".join(f"{value:>14}" for value in row.values()))


if __name__ == "__main__":
    main()
