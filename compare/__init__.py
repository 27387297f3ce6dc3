"""The judge: builds the two sides from one case, runs them, and says whether they agree."""
