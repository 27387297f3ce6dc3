"""Many cases, each judged as `parity check` judges one: over all cores, or over a cluster."""
