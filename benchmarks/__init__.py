"""Measurements, always as a ratio against the bare engine in the same run. Never part of a test."""
