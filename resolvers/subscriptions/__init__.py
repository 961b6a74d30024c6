"""The fields of Subscription, and who gets which event."""
