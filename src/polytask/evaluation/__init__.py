"""Did sharing help? Losses per row, metrics, folds, intervals and verdicts. Knows no models and no torch."""
