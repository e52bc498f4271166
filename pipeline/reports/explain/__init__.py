"""`savs explain`: why heads voted as they did, example by example."""
