"""`savs report`: one page about results, with every number that they hold."""
