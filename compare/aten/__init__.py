"""Any torch program, one ATen call at a time: recorded, replayed, two of them aligned."""
