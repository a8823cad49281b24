"""How good and how fast a separator is: metrics, scores, operations, speed."""
