"""Code of your own against torch: its start, its layout, its mistakes."""
