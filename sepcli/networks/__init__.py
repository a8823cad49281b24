"""The networks, one self-contained file an architecture; each exports `Config` and `Network`."""
