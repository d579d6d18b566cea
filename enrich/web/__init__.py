"""What `enrich.fetch` and `enrich.links` are made of: the way to a page, and the way through it.

To it: addresses (what may be asked for), connector and connections (the only door), exchange (one request, one
answer), fetch_settings, fetch_reasons, robots, directives, politeness, frontier (whose turn it is), decompress, dates.
Through it: decoding (bytes to text), page (what it says of itself), linked_data, titles, descriptions, site_names,
boilerplate, link_text (all of these), and shared_ends, for many pages of a host. Beside it: visiting (shared out by
visiting_processes or visiting_ray), visits and visit_status (what became of each page).
"""
