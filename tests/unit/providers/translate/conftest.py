"""Loads LiteLLM as the gateway does, before any test module imports it: on its own it asks the network for prices at its first import."""

from app.providers.translate import load

load()
