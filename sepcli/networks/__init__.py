"""The networks, one file an architecture, as in its paper; each exports `Config` and `Network`."""
