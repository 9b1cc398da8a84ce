"""A rehearsal of the whole flow at a tenth of MS MARCO: seconds, disk and memory of every stage, on made-up texts."""
