"""Tests of the doors: over HTTP on loopback, on a real database, signed by the fake's own hand."""
