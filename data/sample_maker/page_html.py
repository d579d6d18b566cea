"""How the sample catalogue's link pages are written: HTML as sites really serve it.

Each site has its ways (which meta tags, the site's name before or after the title, a legacy charset, said or not); a
few pages are broken: cut off, without a title, not HTML at all.
"""

from __future__ import annotations

import html
import json
from typing import NamedTuple

from data.sample_maker.chance import Rng, choose, happens, stream
from data.sample_maker.pages import PageText, Site

_BROKEN = 0.06  # of pages
_PDF = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\n%%EOF\n"
_SEPARATORS = (" | ", " - ", " – ", " · ", " :: ")


class Ways(NamedTuple):
    """A site's habits."""

    separator: str
    name_first: bool
    og: bool
    og_with_name: bool
    og_site_name: bool
    twitter: bool
    json_ld: bool
    json_graph: bool
    description: bool
    header_charset: bool
    meta_charset: bool


class Response(NamedTuple):
    body: bytes
    content_type: str


def ways_of(seed: int, site: Site) -> Ways:
    """The site's habits in the world of `seed`. Its charset is said in a header, a meta tag, or (1 in 5) nowhere."""
    rng = stream(seed, f"ways of {site.host}")
    where = choose(rng, ("header", "meta", "both", "both", "neither"))
    return Ways(
        separator=choose(rng, _SEPARATORS),
        name_first=happens(rng, 0.2),
        og=happens(rng, 0.7),
        og_with_name=happens(rng, 0.25),
        og_site_name=happens(rng, 0.75),
        twitter=happens(rng, 0.35),
        json_ld=happens(rng, 0.45),
        json_graph=happens(rng, 0.4),
        description=happens(rng, 0.85),
        header_charset=where in ("header", "both"),
        meta_charset=where in ("meta", "both") or site.charset == "utf-8",
    )


def respond(seed: int, page: PageText) -> Response:
    """The page's bytes in the site's charset, and its Content-Type header."""
    rng = stream(seed, page.url)
    ways = ways_of(seed, page.site)
    text = "\n".join([*_head(rng, ways, page), *_body(rng, page)]) + "\n"
    if happens(rng, _BROKEN):
        return _broken(rng, text, page)
    content_type = f"text/html; charset={page.site.charset}" if ways.header_charset else "text/html"
    return Response(_encoded(text, page.site.charset), content_type)


def _encoded(text: str, charset: str) -> bytes:
    return text.encode(charset, errors="xmlcharrefreplace")


def _broken(rng: Rng, text: str, page: PageText) -> Response:
    kind = choose(rng, ("cut", "cut", "no title", "empty", "pdf", "json", "unclosed"))
    if kind == "pdf":
        return Response(_PDF, "application/pdf")
    if kind == "json":
        return Response(json.dumps({"error": "app required", "code": 12}).encode(), "application/json")
    if kind == "empty":
        return Response(b"", "text/html")
    if kind == "no title":
        text = "<html><body><div id=app></div><script>window.__DATA__={}</script></body></html>"
    elif kind == "unclosed":
        text = text.replace("</title>", "").replace("</head>", "").replace("</h1>", "")
    else:
        text = text[: int(len(text) * float(rng.uniform(0.3, 0.8)))]
    return Response(_encoded(text, page.site.charset), "text/html")


def _head(rng: Rng, ways: Ways, page: PageText) -> list[str]:
    site = page.site
    parts = [site.name, page.title] if ways.name_first else [page.title, site.name]
    full = ways.separator.join(parts)
    lines = ["<!DOCTYPE html>", f'<html lang="{site.lang}">', "<head>"]
    if ways.meta_charset:
        tag = f'<meta charset="{site.charset}">'
        legacy = f'<meta http-equiv="Content-Type" content="text/html; charset={site.charset}">'
        lines.append(tag if site.charset == "utf-8" else legacy)
    lines += ['<meta name="viewport" content="width=device-width, initial-scale=1">', f"<title>{_text(full)}</title>"]
    if ways.description and happens(rng, 0.93):
        lines.append(_meta("name", "description", page.summary))
    if ways.og:
        lines += _open_graph(rng, ways, page, full)
    if ways.twitter:
        lines += [_meta("name", "twitter:card", "summary"), _meta("name", "twitter:title", page.title)]
    if ways.json_ld:
        lines.append(f'<script type="application/ld+json">{_json_ld(ways, page)}</script>')
    lines += [
        f'<link rel="canonical" href="{page.url}">',
        "<style>body{font-family:Georgia,serif;margin:2rem auto;max-width:42rem}.nav a{margin-right:1rem}</style>",
        "<script>window.dataLayer=window.dataLayer||[];dataLayer.push({'event':'view'});</script>",
        "</head>",
    ]
    return lines


def _open_graph(rng: Rng, ways: Ways, page: PageText, full: str) -> list[str]:
    lines = [_meta("property", "og:title", full if ways.og_with_name else page.title)]
    lines.append(_meta("property", "og:type", "product" if page.is_product else "article"))
    lines.append(_meta("property", "og:url", page.url))
    if ways.og_site_name:
        lines.append(_meta("property", "og:site_name", page.site.name))
    if happens(rng, 0.8):
        lines.append(_meta("property", "og:description", page.summary))
    return lines


def _json_ld(ways: Ways, page: PageText) -> str:
    owner = {"@type": "Organization", "name": page.site.name}
    if page.is_product:
        thing = {"@type": "Product", "name": page.title, "description": page.summary, "brand": owner}
    else:
        thing = {"@type": "BlogPosting", "headline": page.title, "description": page.summary, "publisher": owner}
    website = {"@type": "WebSite", "name": page.site.name, "url": f"http://{page.site.host}/"}
    context = {"@context": "https://schema.org"}
    document = {**context, "@graph": [website, thing]} if ways.json_graph else {**context, **thing}
    return json.dumps(document, ensure_ascii=False).replace("</", "<\\/")


def _body(rng: Rng, page: PageText) -> list[str]:
    heading = page.title if happens(rng, 0.85) else choose(rng, page.related)
    lines = ["<body>", '<header class="nav">', f'<a class="logo" href="/">{_text(page.site.name)}</a>']
    lines += [f'<a href="/{i}">{_text(name)}</a>' for i, name in enumerate(page.nav)]
    lines += ["</header>", "<main>", f"<h1>{_text(heading)}</h1>"]
    if page.is_product:
        lines.append(f'<p class="price">{int(rng.integers(4, 240))}.{choose(rng, ("00", "50", "90", "95"))}</p>')
    lines += [f"<p>{_text(paragraph)}</p>" for paragraph in (page.summary, *page.body)]
    lines += ["</main>", "<aside>", "<ul>"]
    lines += [f'<li><a href="/x{i}">{_text(name)}</a></li>' for i, name in enumerate(page.related)]
    lines += ["</ul>", "</aside>", f"<footer>&copy; 2025 {_text(page.site.name)}</footer>", "</body>", "</html>"]
    return lines


def _meta(attribute: str, name: str, content: str) -> str:
    return f'<meta {attribute}="{name}" content="{html.escape(content)}">'


def _text(text: str) -> str:
    return html.escape(text, quote=False)
