"""Training of separators: data, loss, loop; nothing on the separation path imports it."""
