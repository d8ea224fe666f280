"""Small pieces of HTML that the report and a notebook's pages share; every text is escaped."""

import base64
from collections.abc import Sequence
from html import escape


def bullet_list(sentences: Sequence[str]) -> str:
    """Return sentences as a list."""
    items = "\n".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"<ul>\n{items}\n</ul>"


def data_url(media_type: str, content: bytes) -> str:
    """Return bytes as an address that holds them itself, so that nothing is fetched."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
