"""Addresses hold no passwords: what they are given as ends up in records, logs and process lists."""

from urllib.parse import parse_qsl, urlsplit

from lth_ray.config.base import ConfigError

WORDS = "password", "passwd", "pwd", "token", "secret"


def has_password(uri: str) -> bool:
    """Return whether a URI holds a password or token, in front of its host or among its options."""
    parts = urlsplit(uri)
    in_front = parts.netloc.rpartition("@")[0]
    options = (name.lower() for name, _ in parse_qsl(parts.query))
    return ":" in in_front or any(word in name for name in options for word in WORDS)


def check_no_password(name: str, uri: str) -> None:
    """Raise ConfigError, which does not repeat the password.

    name: of the flag or variable that gives the URI.
    """
    if has_password(uri):
        host = urlsplit(uri).netloc.rpartition("@")[2]
        raise ConfigError(
            f"{name}: the address of {host!r} holds a password, which would be shown in records, logs and process "
            "lists; leave it out and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
            "MLFLOW_TRACKING_TOKEN, for a database PGPASSWORD or ~/.pgpass"
        )
