"""The operations of manual/ops/, as torch has them."""
