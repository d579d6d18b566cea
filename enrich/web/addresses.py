"""Which URLs and which addresses may be fetched: the judgement that every request passes, twice.

    UnsafeURL (BadInput)     the text of the URL, or an address its host resolved to, must not be fetched
    NotWebURL (UnsafeURL)    the text is not a well-formed http: or https: URL at all

`check_url` judges the text alone and never resolves; `refuse_address` judges the addresses that a resolver gave, and
the connector (`enrich.web.connector`) connects to exactly those. Refused is everything that is not plainly public: the
special-purpose blocks of the IANA registries, in every notation that some client somewhere takes for an address.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from typing import NamedTuple
from urllib.parse import quote

import idna

from enrich.errors import BadInput

MAX_URL_CHARACTERS = 4096
DEFAULT_PORTS = {"http": 80, "https": 443}

_AUTHORITY = re.compile(r"(https?)://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")  # what parsers disagree about; tabs and line ends too
_HOST_PORT = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]{1,5}))?")
_LABEL = re.compile(r"[a-z0-9_-]{1,63}")
_RESERVED = "%/?:@!$&'()*+,;=[]|~"  # what a target keeps as written
_ENCODED_DOT = re.compile("%2e", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # a last label that the URL standard's host parser reads as IPv4

# Names that only a local resolver answers for: RFC 6761, 6762, 8375, ICANN's .internal, common private suffixes.
_LOCAL_NAMES = frozenset({"localhost", "localdomain", "local", "internal", "intranet", "lan", "corp", "home", "onion"})
_LOCAL_SUFFIXES = (".home.arpa", ".in-addr.arpa", ".ip6.arpa")

# Ports of services that are not HTTP, which a fetch could be made to talk to: WHATWG Fetch, "bad port", and databases.
_BAD_PORTS_TEXT = """
    0 1 7 9 11 13 15 17 19 20 21 22 23 25 37 42 43 53 69 77 79 87 95 101 102 103 104 109 110 111 113 115 117 119
    123 135 137 139 143 161 179 389 427 465 512 513 514 515 526 530 531 532 540 548 554 556 563 587 601 636 989
    990 993 995 1719 1720 1723 2049 3659 4045 4190 5060 5061 6000 6379 6566 6665 6666 6667 6668 6669 6679 6697
    10080 11211 27017
"""
_BAD_PORTS = frozenset(map(int, _BAD_PORTS_TEXT.split()))

# IANA IPv4 special-purpose registry and multicast, with the one public address that a cloud answers on (Azure).
_REFUSED_V4 = tuple(
    ipaddress.IPv4Network(block)
    for block in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/3", "168.63.129.16/32"),
    )
)
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")  # all that IANA has allocated as global unicast
_REFUSED_V6 = tuple(
    ipaddress.IPv6Network(block)
    for block in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")  # Teredo and kin, documentation, 6to4
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # an IPv4 address in its last 32 bits (RFC 6052)


class UnsafeURL(BadInput):
    """The URL, or an address behind its host, must not be fetched; the message says which and why."""


class NotWebURL(UnsafeURL):
    """There is nothing that could be fetched: another scheme, no host, or a text that is no URL."""


class WebURL(NamedTuple):
    """A URL in the one form that is judged and then used: lower-case scheme, ASCII host, no user, no fragment."""

    scheme: str
    host: str
    port: int
    target: str  # path and query, percent-encoded where they must be, without dot segments; at least "/"

    @property
    def host_header(self) -> str:
        return self.host if self.port == DEFAULT_PORTS[self.scheme] else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host_header}{self.target}"


def check_url(url: str, *, allow_loopback: bool = False) -> None:
    """Accept only http(s) URLs of hosts that can be public. Judges the text; resolves nothing.

    `allow_loopback` also accepts loopback literals and localhost (for tests and demonstrations). Raises UnsafeURL.
    """
    parse_url(url, allow_loopback=allow_loopback)


def parse_url(url: str, *, allow_loopback: bool = False) -> WebURL:
    """`url` taken apart as it will be requested. Raises UnsafeURL as `check_url` does."""
    text = url.strip(" \t\r\n\f")
    if len(text) > MAX_URL_CHARACTERS:
        raise NotWebURL(f"expected a URL of at most {MAX_URL_CHARACTERS} characters, found {len(text)}; drop it")
    if _FORBIDDEN.search(text):
        raise _unsafe(url, "no control characters or backslashes")
    parts = _AUTHORITY.fullmatch(text)
    if parts is None:
        raise NotWebURL(_refusal(url, "http:// or https:// and a host"))
    scheme, authority, rest = parts[1].lower(), parts[2], parts[3].partition("#")[0]
    if "@" in authority:
        raise _unsafe(url, "no user name before the host")
    host_port = _HOST_PORT.fullmatch(authority.removesuffix(":"))
    if host_port is None:
        raise NotWebURL(_refusal(url, "one host and at most one port"))
    port = int(host_port[2]) if host_port[2] else DEFAULT_PORTS[scheme]
    host = _host(url, host_port[1], allow_loopback)
    if port > 65535 or port in _BAD_PORTS:
        raise _unsafe(url, "a port that speaks HTTP")
    return WebURL(scheme, host, port, _target(rest))


def refuse_address(address: str, *, allow_loopback: bool = False) -> None:
    """Raise UnsafeURL unless `address` (an IP literal, as a resolver gives it) is public."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError as error:
        raise UnsafeURL(f"expected an IP address from the resolver, found {address!r}") from error
    if not (_is_public(parsed) or (allow_loopback and _is_loopback(parsed))):
        raise UnsafeURL(f"expected a public address, found {address}; such hosts are never fetched")


def _host(url: str, raw: str, allow_loopback: bool) -> str:
    if raw.startswith("["):
        return _literal(url, raw[1:-1], allow_loopback, bracketed=True)
    name = _ascii_name(url, raw).removesuffix(".")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):  # so the URL standard calls it an IPv4 address; only the plain form is taken
        return _literal(url, name, allow_loopback, bracketed=False)
    if not all(_LABEL.fullmatch(label) for label in labels) or len(name) > 253:
        raise NotWebURL(_refusal(url, "a well-formed host name"))
    local = labels[-1] in _LOCAL_NAMES or len(labels) == 1 or name.endswith(_LOCAL_SUFFIXES)
    if local and not (allow_loopback and labels[-1] == "localhost"):
        raise _unsafe(url, "a public host name")
    return name


def _ascii_name(url: str, raw: str) -> str:
    """The name as the resolver will be asked: folded as browsers fold (UTS 46), then punycode."""
    if raw.isascii():
        return raw.lower()
    try:
        folded = idna.uts46_remap(unicodedata.normalize("NFKC", raw), std3_rules=False)
        return ".".join(_ascii_label(label) for label in folded.lower().split("."))
    except (idna.IDNAError, UnicodeError) as error:
        raise NotWebURL(_refusal(url, f"a well-formed host name ({error})")) from error


def _ascii_label(label: str) -> str:
    """As IDNA 2008 has it, and browsers: they also ask for names with emoji or an underscore, as some are."""
    letters = "".join(one for one in label if one != "_" and unicodedata.category(one) != "So")
    if not letters.isascii():
        idna.alabel(letters)  # raises where the letters are no name
    return label if label.isascii() else "xn--" + label.encode("punycode").decode("ascii")


def _target(rest: str) -> str:
    """Path and query as they go over the wire, so that what robots.txt judges is what the server will serve."""
    path, mark, query = rest.partition("?")
    segments: list[str] = []
    for segment in path.removeprefix("/").split("/"):
        if (dots := _ENCODED_DOT.sub(".", segment)) == "..":
            del segments[-1:]
        elif dots != ".":
            segments.append(segment)
    if dots in (".", ".."):
        segments.append("")
    return quote("/" + "/".join(segments) + mark + query, safe=_RESERVED)


def _literal(url: str, text: str, allow_loopback: bool, bracketed: bool) -> str:
    try:
        address = ipaddress.IPv6Address(text) if bracketed else ipaddress.IPv4Address(text)
    except ValueError as error:
        raise _unsafe(url, "a plainly written IP address") from error
    if "%" in text or not (_is_public(address) or (allow_loopback and _is_loopback(address))):
        raise _unsafe(url, "a public address")
    return f"[{address}]" if bracketed else str(address)


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in block for block in _REFUSED_V4)
    if address.scope_id is not None:
        return False
    embedded = address.ipv4_mapped or _nat64(address)
    if embedded is not None:
        return _is_public(embedded)
    return address in _GLOBAL_V6 and not any(address in block for block in _REFUSED_V6)


def _is_loopback(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.is_loopback


def _nat64(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None


def _unsafe(url: str, expected: str) -> UnsafeURL:
    return UnsafeURL(_refusal(url, expected))


def _refusal(url: str, expected: str) -> str:
    return f"expected {expected}, found {url[:200]!r}; such URLs are never fetched"


def canonical_url(url: str) -> str:
    """The spelling under which pins share a page: as `parse_url`, default port and fragment dropped.

    Nothing that a server may tell apart (path case, query order, trailing slash) is touched. A URL that may not be
    fetched is returned stripped, so that it still has one spelling.
    """
    try:
        return str(parse_url(url))
    except UnsafeURL:
        return url.strip()
