"""LLM providers as small real servers: their dialects, faults on demand, and a record of every byte that arrived."""

from tests.simulators.anthropic import AnthropicSimulator
from tests.simulators.base import Simulator
from tests.simulators.bedrock import CREDENTIALS as BEDROCK_CREDENTIALS
from tests.simulators.bedrock import BedrockSimulator
from tests.simulators.cohere import CohereSimulator
from tests.simulators.gemini import GeminiSimulator
from tests.simulators.ner import NerSimulator
from tests.simulators.ollama import OllamaModel, OllamaSimulator
from tests.simulators.openai import OpenAISimulator

DIALECTS: dict[str, type[Simulator]] = {
    kind.dialect: kind for kind in (OpenAISimulator, AnthropicSimulator, GeminiSimulator, BedrockSimulator, CohereSimulator, OllamaSimulator)
}

__all__ = [
    "BEDROCK_CREDENTIALS",
    "DIALECTS",
    "AnthropicSimulator",
    "BedrockSimulator",
    "CohereSimulator",
    "GeminiSimulator",
    "NerSimulator",
    "OllamaModel",
    "OllamaSimulator",
    "OpenAISimulator",
    "Simulator",
]
