"""One file a command of `parity`, imported when it is called."""
