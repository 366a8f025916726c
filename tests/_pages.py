"""What every page must be: self-contained, and deaf to what records say."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>$\\frac$ `${x}`"


class Loads(HTMLParser):
    """What a browser would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts = 0
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.scripts += tag == "script"
        for name, value in attrs:
            if name.startswith("on"):
                self.handlers.append(name)
            if name in ("src", "srcset", "href", "data", "action", "xlink:href"):
                self.links.append(value or "")


def read(path: Path) -> tuple[str, Loads]:
    text = path.read_text(encoding="utf-8")
    loads = Loads()
    loads.feed(text)
    return text, loads


def assert_self_contained(path: Path) -> str:
    text, loads = read(path)
    assert re.findall(r"https?:", text) == []
    assert "@import" not in text
    assert "url(http" not in text
    inside = {p.name for p in path.parent.iterdir()}
    assert all(link.startswith("#") or link in inside for link in loads.links)
    assert loads.scripts == 1
    assert loads.handlers == []
    assert not loads.tags & {"img", "iframe", "link", "object", "embed", "form", "base"}
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy
    assert policy[1].startswith("default-src 'none'")
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)
    assert script
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy[1]
    return text
