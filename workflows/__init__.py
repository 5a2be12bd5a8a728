"""Orchestration only: deterministic, small, one file per workflow."""
