"""What `enrich.fetch` and `enrich.links` are made of: the way to a page, and the way through it.

To it: addresses (what may be asked for), connector (the only door), robots, politeness, decompress, fetch_reasons.
Through it: decoding (bytes to text), page (what it says of itself), linked_data, titles, descriptions, site_names,
boilerplate.
"""
