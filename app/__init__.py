"""Sluice: an OpenAI-compatible gateway that keeps confidential requests local."""
