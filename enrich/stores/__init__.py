"""Feast's own extension points, used where the stock stores lose time or rows; `feature_store.yaml` names them.

late_duckdb.py   offline: Feast's point-in-time join over keys and clocks alone, values fetched after it by row
row_files.py     those values: columns of parquet parts, mapped into memory and addressed by row
safe_sqlite.py   online: an older row never replaces a newer one
safe_redis.py    online: a value corrected in place arrives; timeouts and retries
"""
