"""Options under which files are the estimates, so that what a network gives is what is seen."""

AS_SEPARATED = {"outside_overlap": "separated", "bandwidth": "model"}
