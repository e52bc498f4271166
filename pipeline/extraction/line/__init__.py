"""From rows to shards: jobs, processes that prepare them, passes of the model, shards on disk."""
