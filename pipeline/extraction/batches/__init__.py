"""From planned examples to the batches that the model runs."""
