"""Small models, right pairs of implementations, and porting mistakes: a test bed for judges."""
