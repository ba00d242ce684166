"""LLM providers as small real servers: their dialects, faults on demand, and a record of every byte that arrived."""

from tests.simulators.base import Simulator
from tests.simulators.ollama import OllamaModel, OllamaSimulator
from tests.simulators.openai import OpenAISimulator

__all__ = ["OllamaModel", "OllamaSimulator", "OpenAISimulator", "Simulator"]
