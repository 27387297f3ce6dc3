"""The figures on judging torch models: each script measures some, page.py writes them down."""
