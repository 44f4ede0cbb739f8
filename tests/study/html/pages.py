"""Reads a page back: its text, and what a browser makes of it."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from html.parser import HTMLParser
from pathlib import Path

import pytest

VOID = frozenset({"meta", "br"})


class Checked(HTMLParser):
    """A page whose elements are closed in their order; its text, and how many there are of each element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.counts: dict[str, int] = {}
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        for name, value in attrs:
            assert name not in ("src", "href", "onclick", "onload"), f"{tag} {name}={value}: a page needs no other file"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        """All words, with single blanks."""
        return " ".join(" ".join(self.words).split())


def needs_nothing(text: str) -> None:
    """A page has no script, and names no address but that of SVG."""
    assert "<script" not in text
    assert "url(" not in text
    assert "@import" not in text
    assert set(re.findall(r"https?://[^\"\s<]+", text)) <= {"http://www.w3.org/2000/svg"}


def in_browser(text: str, width: int, script: str) -> str:
    """What `script`, an expression, is in headless Chromium on the page at that width."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.html"
        path.write_text(text.replace("</body>", f"<script>document.title = {script}</script></body>"), encoding="utf-8")
        words = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-quic"]
        words += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        words += [f"--user-data-dir={folder}/user", f"--window-size={width},900", "--dump-dom", path.as_uri()]
        ended = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    found = re.search(r"<title>(.*?)</title>", ended.stdout)
    assert found
    return found[1]
