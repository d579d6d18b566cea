"""What the titles of one host's pages share at an end, set apart: its name, or a section's, where no page says so.

`<title>Pine stool | Oak & Co</title>` alone tells a reader which half is the shop's; of many such pages, the half that
stays the same is, whatever it says. Used by `enrich.links` on the titles that the pages gave one by one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from enrich.web.site_names import Cut, cuts, key

FEWEST_TITLES = 10  # different ones that share an end, before it is no part of them ...
SHARE = 0.5  # ... and so many of all different titles of the host


class Titled(NamedTuple):
    host: str
    title: str


def without_shared_ends(titled: Iterable[Titled]) -> dict[Titled, Cut]:
    """Of titles that share an end with others of their host: the title without it, and the end."""
    hosts: defaultdict[str, set[str]] = defaultdict(set)
    for host, title in titled:
        hosts[host].add(title)
    return {
        Titled(host, title): cut
        for host, titles in hosts.items()
        if len(titles) >= FEWEST_TITLES
        for title, cut in _without(titles)
    }


def _without(titles: set[str]) -> list[tuple[str, Cut]]:
    """The last segment first: a site names itself there more often, and one end is enough."""
    offered = {title: cuts(title) for title in titles}
    rests: defaultdict[tuple[bool, str], set[str]] = defaultdict(set)
    for found in offered.values():
        for cut in found:
            rests[cut.last, key(cut.end)].add(cut.rest)
    shared = {end for end, different in rests.items() if len(different) >= max(FEWEST_TITLES, SHARE * len(titles))}
    taken = ((title, [cut for cut in found if (cut.last, key(cut.end)) in shared]) for title, found in offered.items())
    return [(title, found[0]) for title, found in taken if found]
