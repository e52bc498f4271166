"""From a selection and a store to predictions and metrics."""
