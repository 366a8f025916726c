"""The error of a device or a file that does not do what it must."""

from __future__ import annotations


class Wrong(Exception):
    """The device does not do what it must; the message says what."""
