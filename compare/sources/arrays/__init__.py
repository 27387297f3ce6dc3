"""Compare your own code with torch: the start of a step, the layout, the check."""
