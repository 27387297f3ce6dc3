"""torch modules of any make: one step captured by hooks, and two of them judged."""
