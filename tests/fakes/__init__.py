"""Twilio and SendGrid as a stateful server on loopback: an independent judge that knows nothing of this project.

It keeps what it was asked, answers as the providers do, calls back with valid signatures, and fails on request. It
never talks to anything but loopback addresses, and its deliveries are bounded. See `docs/channels.md`.
"""
