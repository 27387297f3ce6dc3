"""The same network in idiomatic torch: short, because the framework does the rest.

Each file has a counterpart of the same name in manual/; read the two side by side.
"""
