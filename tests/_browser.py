"""Pages in a real browser, with a script of the test beside the page's own."""

from __future__ import annotations

import html
import json
import re
import subprocess
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
)
DARK = "--blink-settings=preferredColorScheme=0"
_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')


def told(
    browser: Path,
    page: Path,
    script: str,
    *,
    address: str = "",
    width: int = 1280,
    dark: bool = False,
    libraries: str = "",
    timed: bool = False,
) -> Any:
    """What the body of an async function returns in a copy of the page that allows it to run.

    `address` is what follows the page's, `libraries` the text of scripts that run before. Where it
    is `timed`, clocks run as they do, and the script must await nothing.
    """
    text = _POLICY.sub("", page.read_text(encoding="utf-8"))
    own = (
        f"<script>{libraries}</script><script>(async () => {{{script}}})()"
        ".catch((error) => ({ error: String(error) })).then((value) => {"
        'const told = document.createElement("pre"); told.id = "told";'
        "told.textContent = JSON.stringify(value); document.body.append(told); })</script>"
    )
    copy = page.with_name(f"{page.stem}-driven.html")
    copy.write_text(text.replace("</body>", f"{own}</body>"), encoding="utf-8")
    done = subprocess.run(
        [
            *(str(browser), *FLAGS, f"--user-data-dir={page.parent / 'profile'}"),
            *(f"--window-size={width},900", *([] if timed else ["--virtual-time-budget=20000"])),
            *([DARK] if dark else []),
            *("--dump-dom", copy.as_uri() + address),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = re.search(r'<pre id="told">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    value = json.loads(html.unescape(found[1]))
    assert not (isinstance(value, dict) and "error" in value), value
    return value
