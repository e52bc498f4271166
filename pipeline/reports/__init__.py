"""Pages for people: reports of results, why heads voted so, what a model will be given."""
