"""What the site makes of our Markdown beyond what MkDocs knows: see mkdocs.yml."""

from __future__ import annotations

import re
from typing import Any

_FENCE = re.compile(r"^( *```\w+)((?: [\w=./-]+)+)$", re.M)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fenced blocks say what they are behind their language (``yaml policy``, ``yaml file=hub.yaml``), for the tests of
    tests/docs and as GitHub has it. MkDocs knows no such words: a file's name becomes the title, the others go."""
    return _FENCE.sub(_plain, markdown)


def _plain(fence: re.Match[str]) -> str:
    file = re.search(r" file=(\S+)", fence[2])
    return f'{fence[1]} title="{file[1]}"' if file else fence[1]
