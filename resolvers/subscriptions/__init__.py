"""The fields of Subscription, and the delivery of events to their subscribers."""
