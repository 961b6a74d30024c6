"""Files of other servers and of the SDK → documents."""
