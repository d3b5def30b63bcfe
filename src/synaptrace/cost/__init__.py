"""What training and inference cost: bytes by purpose, operations, energy, and budgets."""
