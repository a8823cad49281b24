"""From a name to a network with its weights: the table, downloads, safe reading, building."""
