"""The networks of manual/models/, as a torch user writes them."""
