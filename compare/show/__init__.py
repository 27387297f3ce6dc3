"""What a run or a judgement leaves to read: terminal, JSON, TensorBoard."""
