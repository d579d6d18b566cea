"""Online experiments: what an arm changed, how sure that is, and what to judge next."""
