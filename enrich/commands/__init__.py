"""The commands of `enrich`; the group is enrich/cli.py."""
