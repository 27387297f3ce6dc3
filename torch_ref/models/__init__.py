"""The networks of manual/models/, written as a torch user would."""
