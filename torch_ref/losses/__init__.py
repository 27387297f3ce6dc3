"""The losses and penalties of manual/losses/, as torch has them."""
