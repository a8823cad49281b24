"""Published checkpoint formats, one file a format; each turns weight files into a state dict."""
