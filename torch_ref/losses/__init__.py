"""The losses and penalties of manual/losses/ in torch."""
