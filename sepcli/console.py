"""The only module that prints: results to stdout; progress, warnings, errors and hints to stderr."""
