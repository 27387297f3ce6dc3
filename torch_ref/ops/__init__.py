"""The operations of manual/ops/ in torch."""
