"""May this agent fetch this URL, by the site's robots.txt (RFC 9309)? Protego judges; what it misses is mended here.

- Protego takes a whole `User-agent` line for the agent's name, so `User-agent: FooBot 1.2` binds nobody. RFC 9309 has
  the product token end at the first character that cannot be in one, and so has Google's parser: it is cut there.
- It takes the beginning of an agent's token for the token, so rules for "Cork" would bind, and free, "CorkboardBot".
- A record that RFC 9309 does not know (Content-Signal, Request-rate) ends its group of agents; such lines are dropped.
- Protego keeps a copy of each rule for each agent named above it, so a hostile half megabyte costs it minutes. Groups
  of agents that cannot be ours are given one name, which leaves a copy or two.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from protego import Protego

from enrich.web.addresses import WebURL

MAX_ROBOTS_BYTES = 512_000  # RFC 9309 asks to parse at least 500 KiB; the rest is ignored, as large search engines do
MAX_LINE_CHARACTERS = 16_664  # as Google's parser: eight times the longest URL in use
MAX_KEPT_BYTES = 4_000_000  # of the files whose rules are remembered; Protego's rules take up to 40 times as much
KEEP_FAILURES = 300.0  # seconds for which a site that could not say is not asked again
MAX_NAMES = 16  # of the agent, in one file; more is an attack

_Origin = tuple[str, str, int]  # scheme, host, port
_SITE_BYTES = 2_000  # counted for a site whatever it says: its task, its name, its error

_AGENT_LINE = re.compile(r"[ \t]*user[- ]?agent(?:[ \t]*:|[ \t])[ \t]*([^#]*)", re.IGNORECASE)
_TOKEN = re.compile(r"[\w.*-]+")
_RULE_LINE = re.compile(r"[ \t]*(?:allow|dis+al+[ao]w|diasllow|crawl[- ]delay)(?=[ \t:])", re.IGNORECASE)
_NOBODY = "-"


class Rules:
    """What one site's robots.txt says to one agent (a product token, or a whole User-Agent header that holds one)."""

    def __init__(self, robots_txt: bytes, user_agent: str) -> None:
        self._user_agent = user_agent
        self.size = min(len(robots_txt), MAX_ROBOTS_BYTES)  # bytes of the file
        self._protego = Protego.parse(_mended(robots_txt[:MAX_ROBOTS_BYTES], user_agent.lower()))

    def allows(self, url: str) -> bool:
        """Whether the agent may fetch `url`."""
        return bool(self._protego.can_fetch(url, self._user_agent))

    @property
    def crawl_delay(self) -> float | None:
        """Seconds that the site asks the agent to leave between requests; None where it does not."""
        delay = self._protego.crawl_delay(self._user_agent)
        return None if delay is None else float(delay)


@dataclass(slots=True)
class _Site:
    asked: asyncio.Task[Rules]
    expires: float = math.inf  # loop time, once the task is done
    size: int = 0  # bytes, likewise


class RobotsCache:
    """The rules of many sites, each asked for once at a time. `ask` gets them; what it raises is remembered, too.

    Beyond MAX_KEPT_BYTES the sites that nobody asked about for longest are forgotten.
    """

    def __init__(self, ask: Callable[[WebURL], Awaitable[Rules]], keep: float) -> None:
        self._ask = ask
        self._keep = keep  # seconds
        self._sites: OrderedDict[_Origin, _Site] = OrderedDict()  # the last asked about last
        self._kept = 0  # bytes

    async def rules(self, url: WebURL) -> Rules:
        """The rules of the site that `url` is on. Raises what `ask` raised."""
        origin = url[:3]
        if origin in self._sites and self._sites[origin].expires <= asyncio.get_running_loop().time():
            self._forget(origin)
        if origin not in self._sites:
            site = self._sites[origin] = _Site(asyncio.ensure_future(self._ask(url)))
            site.asked.add_done_callback(partial(self._remember, site))
        self._sites.move_to_end(origin)
        return await asyncio.shield(self._sites[origin].asked)

    async def close(self) -> None:
        """Stop asking."""
        tasks = [site.asked for site in self._sites.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _remember(self, site: _Site, asked: asyncio.Task[Rules]) -> None:
        failed = asked.cancelled() or asked.exception() is not None
        site.expires = asked.get_loop().time() + (min(KEEP_FAILURES, self._keep) if failed else self._keep)
        site.size = _SITE_BYTES + (0 if failed else asked.result().size)
        self._kept += site.size
        if self._kept > MAX_KEPT_BYTES:
            for origin in [origin for origin, kept in self._sites.items() if kept.asked.done() and kept is not site]:
                self._forget(origin)
                if self._kept <= MAX_KEPT_BYTES:
                    break

    def _forget(self, origin: _Origin) -> None:
        self._kept -= self._sites.pop(origin).size


def robots_allows(robots_txt: bytes, user_agent: str, url: str) -> bool:
    """Whether `robots_txt` lets `user_agent` fetch `url`. Any bytes will do: lines that say nothing are skipped."""
    return Rules(robots_txt, user_agent).allows(url)


def _mended(raw: bytes, agent: str) -> str:
    text = raw.decode("utf-8", errors="replace").removeprefix("\ufeff").replace("\0", "")
    tokens, names = frozenset(_TOKEN.findall(agent)), set[str]()
    lines = []
    for line in text.splitlines():  # as Protego does: at vertical tabs and U+2028, too
        if named := _AGENT_LINE.match(line, endpos=MAX_LINE_CHARACTERS):
            lines.append(f"User-agent: {_name(named[1], tokens, names)}")
        elif _RULE_LINE.match(line):
            lines.append(line[:MAX_LINE_CHARACTERS])
    return "\n".join(lines)


def _name(value: str, tokens: frozenset[str], names: set[str]) -> str:
    """The product token of an agent line: "" where there is none, one name for all that are none of ours (`tokens`)."""
    token = _TOKEN.match(value)
    if token is None:
        return _NOBODY if value.strip() else ""
    name = token[0].lower()
    if name not in tokens:
        name = name.replace("*", "") or "*"
    if (name != "*" and name not in tokens) or (name not in names and len(names) >= MAX_NAMES):
        return _NOBODY
    names.add(name)
    return name
