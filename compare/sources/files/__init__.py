"""Traces as files: read, written, believed in nothing (docs/trace-format.md)."""
