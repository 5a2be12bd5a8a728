"""What everything runs on: embedded servers, the Temporal client, logs, wiring. No business rule here."""
