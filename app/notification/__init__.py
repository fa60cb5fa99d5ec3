"""What a notification is: rules, targets, quiet hours, growth, and the texts of messages. Pure.

Values and what may be said of them; no store, no network, no clock. app/store keeps them,
app/notifier finds out what is to be told and tells it, app/web shows them.
"""
