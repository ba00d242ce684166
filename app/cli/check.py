"""`python -m app check`: what the configuration comes to."""

from __future__ import annotations

import sys

from app.assessing import check_scan
from app.config.check import report
from app.config.settings import environment, load_settings
from app.providers.catalog import load_catalog
from app.providers.deployments import load_configuration


def check() -> int:
    """Print what the configuration comes to. Raises ConfigError."""
    settings = load_settings()
    file, assembled = load_configuration(settings.gateway_config, {**environment(), **settings.variables()}, load_catalog())
    check_scan(file)
    sys.stdout.write(report(file, assembled) + "\n")
    return 0
