"""Numbers that carry the bound on their rounding, and the precisions they are judged in."""
