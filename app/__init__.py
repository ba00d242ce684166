"""Sluice: an OpenAI-compatible gateway that keeps confidential requests local."""

VERSION = "0.1.0"
