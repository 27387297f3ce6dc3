"""Plain torch modules, a family a file."""
