"""Operations on tensors: forward, and right below it backward."""
