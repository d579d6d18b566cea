"""Feast's own extension points, used where the stock classes lose time or rows; `feature_store.yaml` names them.

feast_store.py       the store opened by W/feature_store.yaml, with its remarks left out
late_duckdb.py       offline store: Feast's joins over keys and clocks alone, values read after them, by address
parquet_source.py    which files a view reads, and an address for each of their rows
row_files.py         scattered values: columns of parquet parts, mapped into memory and addressed by row
late_latest.py       the newest row of every key, streamed from the parts in order
streaming_engine.py  batch engine: `feast materialize` of a plain view, from files to online store a batch at a time
view_loads.py        loads of a table and its erasure, kept apart
online_rows.py       a batch of rows in the online stores' layout, without a protobuf a cell
safe_sqlite.py       online store: an older row never replaces a newer one
safe_redis.py        online store: a value corrected in place arrives; timeouts and retries
redis_hashes.py      thousands of hashes read or written in one trip
safe_registry.py     registry: its file written aside and renamed
online_erasure.py    keys taken out of an online store; what is owed to one that did not answer
"""
