"""Recorded steps as files: written, read, and believed in nothing (docs/modules.md)."""
