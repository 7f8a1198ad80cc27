"""The service's log: one JSON object a line, on stderr. Names and numbers; no bodies, no codes, no keys."""

import logging
from typing import Any

import structlog


def log_to(stream: Any) -> None:
    """From now on the service logs here."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=True,
    )
