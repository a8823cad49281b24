"""Training of separators: speech, mixtures, loss, loop; no separation imports it."""
