"""Foreign texts read as values. No reader here includes, fetches or looks into the environment. Pure."""
