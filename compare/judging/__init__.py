"""The judge: flow, replay, rounding bounds, root cause, cause by name, third witness, verdict."""
