"""Training on transformers.Trainer: noising, EMA, checkpoints, heads."""
