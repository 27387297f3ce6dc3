"""The judge: replays every operation on its own inputs, and says which is wrong."""
